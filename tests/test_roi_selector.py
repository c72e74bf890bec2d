"""The bit-widths of a frame's regions."""

from __future__ import annotations

import numpy as np
import pytest

from roicodec.roi.selector import (
    LinearSelector,
    hand_set_selector,
    plain_bit_width,
)

MIXED = np.array([[True, False]])
NONE = np.zeros((1, 2), bool)
ALL = np.ones((1, 2), bool)
CALM = np.zeros(10)
TYPICAL = np.array([44, 10, 9.5, 7.5, 1.9, 1.7, 1.7, 1.0, 0.4, 0.25])
BUSY = 3 * TYPICAL


def test_the_layer_is_argmax_of_a_linear_map_a_region() -> None:
    random = np.random.default_rng(0)
    weights, bias = random.normal(size=(2, 3, 10)), random.normal(size=(2, 3))
    mean, scale = random.normal(size=10), random.random(10) + 0.5
    selector = LinearSelector((4, 8, 16), weights, bias, mean, scale)
    chosen = set()
    for _ in range(50):
        features = random.normal(size=(2, 10)) * 3
        expected = []
        for region in range(2):
            scores = [
                sum(weights[region, k] * (features[region] - mean) / scale) + bias[region, k]
                for k in range(3)
            ]
            expected.append((4, 8, 16)[int(np.argmax(scores))])
        pair = selector.choose(features, MIXED, inter=True)
        assert pair == tuple(expected)
        chosen.add(pair)
    assert len(chosen) > 3


def always(candidates: tuple[int, ...], roi: int, rest: int) -> LinearSelector:
    """Scores that fall with the distance from a candidate's place."""
    places = np.arange(len(candidates))
    bias = -np.abs(np.stack([places - roi, places - rest])).astype(float)
    return LinearSelector(
        candidates, np.zeros((2, len(candidates), 10)), bias, np.zeros(10), np.ones(10)
    )


def test_skip_is_for_the_rest_of_inter_frames_only() -> None:
    selector = always((0, 4, 8), 0, 0)
    features = np.zeros((2, 10))
    assert selector.choose(features, MIXED, inter=True) == (4, 0)
    assert selector.choose(features, MIXED, inter=False) == (4, 4)


def test_without_roi_the_plain_bit_width() -> None:
    features = np.stack([CALM, BUSY])
    for candidates, plain in [((4, 8, 16), 8), ((2, 4), 4), ((0, 4, 12), 12), ((10, 16), 10)]:
        selector = always(candidates, len(candidates) - 1, 0)
        assert plain_bit_width(candidates) == plain
        assert selector.choose(features, NONE, inter=True) == (plain, plain)


def test_a_frame_that_is_all_roi_has_one_bit_width() -> None:
    assert always((4, 8, 16), 2, 0).choose(np.zeros((2, 10)), ALL, inter=True) == (16, 16)


def test_shapes_must_fit() -> None:
    good = {"mean": np.zeros(10), "scale": np.ones(10)}
    with pytest.raises(ValueError, match="needs weights"):
        LinearSelector((4, 8), np.zeros((2, 3, 10)), np.zeros((2, 3)), **good)
    with pytest.raises(ValueError, match="scale above 0"):
        LinearSelector((4, 8), np.zeros((2, 2, 10)), np.zeros((2, 2)), np.zeros(10), np.zeros(10))


@pytest.mark.parametrize(
    ("candidates", "calm", "busy"),
    [
        ((4, 8, 16), (8, 8), (16, 8)),
        ((2, 4, 8), (8, 8), (8, 8)),
        ((0, 4, 8, 16), (8, 0), (16, 8)),
        ((8,), (8, 8), (8, 8)),
        ((3, 6), (6, 6), (6, 6)),
    ],
)
def test_the_hand_set_rule(
    candidates: tuple[int, ...], calm: tuple[int, int], busy: tuple[int, int]
) -> None:
    selector = hand_set_selector(candidates)
    for roi, b_roi in ((CALM, calm[0]), (TYPICAL, busy[0]), (BUSY, busy[0])):
        for rest, b_bg in ((CALM, calm[1]), (TYPICAL, busy[1]), (BUSY, busy[1])):
            pair = selector.choose(np.stack([roi, rest]), MIXED, inter=True)
            assert pair == (b_roi, b_bg)


def test_the_rule_rises_with_activity() -> None:
    selector = hand_set_selector((0, 2, 3, 4, 6, 8, 12, 16))
    before = (0, 0)
    for factor in np.linspace(0, 4, 60):
        now = selector.choose(np.stack([TYPICAL * factor] * 2), MIXED, inter=True)
        assert now[0] >= before[0]
        assert now[1] >= before[1]
        assert now[0] >= now[1]
        before = now
    assert before == (16, 8)
