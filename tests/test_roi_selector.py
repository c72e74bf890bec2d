"""The bit-widths of a frame's regions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from roicodec.codec.encoder import Encoder, EncoderOptions
from roicodec.roi.features import Features
from roicodec.roi.selector import (
    QUALITY_OFFSETS,
    LinearSelector,
    fitted_selector,
    plain_bit_width,
    quality_offsets,
)
from roicodec.roi.sources import RectangleRoi
from roicodec.train.selector import (
    _EFFORT,
    Sample,
    _coded,
    _Fixed,
    excess,
    fit_layer,
    pairs,
    region_costs,
    samples_of_clip,
)

from . import tiny_model

MIXED = np.array([[True, False]])
NONE = np.zeros((1, 2), bool)
ALL = np.ones((1, 2), bool)
CALM = np.zeros(10)
TYPICAL = np.array([44, 10, 9.5, 7.5, 1.9, 1.7, 1.7, 1.0, 0.4, 0.25])
BUSY = 3 * TYPICAL


def test_the_layer_is_argmax_of_a_linear_map_a_region() -> None:
    """Of the logarithms, which tell 0 from 0.1 as well as 1 from 3."""
    random = np.random.default_rng(0)
    weights, bias = random.normal(size=(2, 2, 3, 10)), random.normal(size=(2, 2, 3))
    mean, scale = random.normal(size=10), random.random(10) + 0.5
    selector = LinearSelector((4, 8, 16), weights, bias, mean, scale)
    chosen = set()
    for _ in range(50):
        features = np.exp(random.normal(size=(2, 10)) * 3)
        expected = []
        for region in range(2):
            scores = [
                sum(weights[1, region, k] * (np.log(features[region] + 0.05) - mean) / scale)
                + bias[1, region, k]
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
    bias = -np.abs(np.stack([[places - roi, places - rest]] * 2)).astype(float)
    return LinearSelector(
        candidates, np.zeros((2, 2, len(candidates), 10)), bias, np.zeros(10), np.ones(10)
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
        LinearSelector((4, 8), np.zeros((2, 2, 3, 10)), np.zeros((2, 2, 3)), **good)
    with pytest.raises(ValueError, match="scale above 0"):
        LinearSelector(
            (4, 8), np.zeros((2, 2, 2, 10)), np.zeros((2, 2, 2)), np.zeros(10), np.zeros(10)
        )


def test_a_stream_takes_the_rows_of_its_candidates() -> None:
    features = np.stack([TYPICAL, BUSY])
    every = fitted_selector(tuple(QUALITY_OFFSETS)).scores(features, inter=True)
    some = fitted_selector((2, 8, 16)).scores(features, inter=True)
    places = [list(QUALITY_OFFSETS).index(b) for b in (2, 8, 16)]
    assert np.array_equal(some, every[:, places])


def test_quality_offsets_follow_strength() -> None:
    assert quality_offsets((4, 8, 16), 1) == {4: -16, 8: 0, 16: 24}
    assert quality_offsets((2, 4), 1) == {2: -8, 4: 0}
    assert set(quality_offsets((2, 4, 8, 16), 0).values()) == {0}
    for weak, strong in pairwise(np.linspace(0, 2, 9)):
        one, other = (quality_offsets((2, 4, 8, 16), s) for s in (weak, strong))
        assert one[16] - one[8] <= other[16] - other[8]
        assert one[8] - one[2] <= other[8] - other[2]


@given(
    features=hnp.arrays(np.float64, (2, 10), elements=st.floats(0, 100)),
    prices=st.tuples(st.floats(0, 10), st.floats(0, 10)),
    inter=st.booleans(),
)
def test_dearer_arithmetic_never_gets_more_bits(
    features: Features, prices: tuple[float, float], inter: bool
) -> None:
    candidates = (0, 2, 4, 8, 16)
    # Ascending as BitOPs are, and not the square of the bit-width, as the skeleton's part is not.
    ops = np.array([[0.1, 0.5, 0.7, 1.2, 3], [0.1, 0.6, 0.8, 1.5, 4]])
    low, high = (
        fitted_selector(candidates, price * ops).choose(features, MIXED, inter=inter)
        for price in sorted(prices)
    )
    assert high[0] <= low[0]
    assert high[1] <= low[1]


# --- fitting --------------------------------------------------------------------------------


def sample(features: Features, saved: NDArray[np.float64]) -> Sample:
    """A frame, half of it ROI, in which bit-width k saves ``saved[region, k]`` of a region."""
    plain = 1000.0
    return Sample(
        "clip", True, (16, 8), features, 0.5, plain - plain / 2 * (saved[0][:, None] + saved[1])
    )


def test_costs_of_a_region_by_hand() -> None:
    """Costs are those of the best pair that the bit-width is part of."""
    cost = np.full((9, 9), np.nan)
    at = {b: k for k, b in enumerate(QUALITY_OFFSETS)}
    for (roi, rest), j in {
        (4, 4): 1500, (4, 8): 1300, (8, 4): 900, (8, 8): 1000,
        (16, 4): 1200, (16, 8): 800, (4, 16): 2000, (8, 16): 1400, (16, 16): 1600,
    }.items():  # fmt: skip
        cost[at[roi], at[rest]] = j
    found = region_costs(Sample("clip", True, (16, 8), np.zeros((2, 10)), 0.25, cost), (4, 8, 16))
    # The least of the ROI's rows, 1300, 900 and 800, less that at 8 bits, of a quarter of 1000.
    assert found[0, [at[4], at[8], at[16]]] == pytest.approx([400 / 250, 0, -100 / 250])
    # The least of the rest's columns: 900, 800 and 1400.
    assert found[1, [at[4], at[8], at[16]]] == pytest.approx([100 / 750, 0, 600 / 750])
    # 6 bits were not tried; 0 cannot be read off.
    assert found[0, at[6]] == pytest.approx(200 / 250)
    assert np.isnan(found[:, 0]).all()


def test_the_fit_finds_a_linear_law() -> None:
    random = np.random.default_rng(3)
    law = random.normal(size=(2, 9, 10)) * 0.05
    law[:, 7] = 0  # 8 bits against 8 bits
    frames = []
    for _ in range(20_000):  # so many that the ridge does not count
        x = random.normal(size=(2, 10)) + 1
        frames.append(sample(np.exp(x) - 0.05, np.einsum("rkf,rf->rk", law, x)))
    layer = fit_layer(frames)
    rows = [1, 7, 8]
    weights, bias = layer["weights"][:, :, rows], layer["bias"][:, :, rows]
    learned = LinearSelector((2, 8, 16), weights, bias, layer["mean"], layer["scale"])
    truth = np.einsum("rkf,rf->rk", law, x)[:, rows]
    assert learned.scores(frames[-1].features, inter=True) == pytest.approx(truth, abs=0.02)
    shares = excess(frames, (2, 8, 16), layer)
    fixed = [v for k, v in shares.items() if k != "learned"]
    assert len(fixed) == 9
    assert 0 <= shares["learned"] < 0.05 * min(fixed)


def test_what_is_measured_of_a_clip() -> None:
    """Each pair's cost is its own bits, brought to the PSNR of 8 bits along the curve of those."""
    clip = tiny_model.pictures(64, 64, 3)
    roi = RectangleRoi((0, 0, 32, 32), (64, 64))
    found = list(samples_of_clip("clip", clip, roi, 20, tiny_model.model()))
    assert [(s.usual, s.inter) for s in found] == [
        ((8, 4), False), ((8, 4), True), ((16, 8), False), ((16, 8), True)
    ]  # fmt: skip
    for one, table in zip(found, [(2, 4, 8)] * 2 + [(4, 8, 16)] * 2, strict=True):
        assert one.share == 0.25
        tried = pairs(table, one.inter)
        at = [(list(QUALITY_OFFSETS).index(a), list(QUALITY_OFFSETS).index(b)) for a, b in tried]
        assert sorted(map(tuple, np.argwhere(~np.isnan(one.cost)))) == sorted(at)
    intra = found[2]

    fixed = _Fixed((16, 8))
    options = EncoderOptions(
        quality=20, candidates=tuple(QUALITY_OFFSETS), gop=65535, effort=_EFFORT
    )
    encoder = Encoder(64, 64, options, roi, tiny_model.model(), fixed)
    seen = {}
    for pair, coarser in (((8, 8), 0), ((8, 8), 8), ((16, 4), 0)):
        # The frames after it, which lean on it, count for the first one's pair.
        seen[pair, coarser] = _coded(encoder, fixed, clip, pair, coarser)
        assert fixed.pair == (16, 8)
    plain, coarse, other = seen.values()
    assert coarse.bits < plain.bits
    assert coarse.psnr < plain.psnr < other.psnr
    of = list(QUALITY_OFFSETS).index
    assert intra.cost[of(8), of(8)] == plain.bits
    # Bits of 8 and 8 at the other pair's PSNR, on a straight line through two points.
    slope = np.log(plain.bits / coarse.bits) / (plain.psnr - coarse.psnr)
    there = plain.bits * np.exp(slope * (other.psnr - plain.psnr))
    assert intra.cost[of(16), of(4)] / plain.bits == pytest.approx(other.bits / there)
