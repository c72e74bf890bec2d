"""The bit-widths of a frame's regions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from roicodec.encoder.roi.features import Features
from roicodec.encoder.roi.selector import (
    QUALITY_OFFSETS,
    LinearSelector,
    SizedSelector,
    fitted_selector,
    plain_bit_width,
    quality_offsets,
)
from roicodec.encoder.roi.sources import RectangleRoi
from roicodec.train.selector import excess, fit_layer, region_costs
from roicodec.train.selector_costs import BITS, TRIED, Sample, _ahead, _coded, samples_of_clip
from tests import tiny_model

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


@pytest.mark.parametrize("candidates", [(4, 8), (2, 4, 8), (8, 16), (4, 16), (4, 8, 16), (0, 5, 8)])
@pytest.mark.parametrize("inter", [False, True])
def test_the_roi_gets_the_most_and_the_rest_less(candidates: tuple[int, ...], inter: bool) -> None:
    features = np.stack([TYPICAL, TYPICAL])
    b_roi, b_bg = fitted_selector(candidates).choose(features, MIXED, inter=inter)
    assert (b_roi, b_bg) == (candidates[-1], candidates[-2])


def test_quality_offsets_follow_strength() -> None:
    assert quality_offsets((4, 8, 16), 1) == {4: -11, 8: 0, 16: 17}
    assert quality_offsets((2, 4), 1) == {2: -6, 4: 0}
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
    ops = np.array([0.1, 0.5, 0.7, 1.2, 3])
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
    cost = plain - plain / 2 * (saved[0][:, None] + saved[1])
    return Sample("clip", True, features, 0.5, cost, BIT_OPS)


BIT_OPS = np.array([0.1, 0.5, 0.8, 1, 1.2, 1.5, 1.8, 2, 6])


def by_hand(**changes: float) -> Sample:
    """A clip, a quarter of it ROI, in which 8 bits take 1000."""
    costs = {
        "4/4": 1500, "4/8": 1300, "8/4": 900, "8/8": 1000,
        "16/4": 1200, "16/8": 800, "4/16": 2000, "8/16": 1400, "16/16": 1600,
    } | changes  # fmt: skip
    cost = np.full((9, 9), np.nan)
    for pair, j in costs.items():
        roi, rest = map(int, pair.split("/"))
        cost[BITS.index(roi), BITS.index(rest)] = j
    return Sample("clip", True, np.zeros((2, 10)), 0.25, cost, BIT_OPS)


def test_costs_of_a_region_by_hand() -> None:
    found = region_costs(by_hand(), (4, 8, 16))
    rows = [BITS.index(b) for b in (4, 8, 16)]
    # 16/8 takes 0.25 x 6 + 0.75 x 2 = 3 of arithmetic, and 8/4 1.25: it is best from a price of
    # 0.1 J / 1.75 on, so the ROI goes down 4, and the rest 1, at that price. 4/4 takes 0.25 less.
    price = 0.1 / 1.75
    assert found[0, rows] == pytest.approx([0.6 / 0.25, 0, -4 * price])
    # 16 bits in the rest are best with 8 in the ROI: 0.6 J more than 16/8, of a part of 0.75.
    assert found[1, rows] == pytest.approx([price, 0, 0.6 / 0.75])
    # 6 bits were not tried; 0 cannot be read off.
    assert found[0, BITS.index(6)] == pytest.approx(1.2)
    assert np.isnan(found[:, 0]).all()


def test_what_is_passed_over_costs_more_than_what_is_taken() -> None:
    """8 bits in the ROI: from 16/8 to 4/4 at 0.7 J / 2, where 8/4 has 0.0375 J more than both."""
    found = region_costs(by_hand(**{"8/4": 1450, "8/8": 1400, "16/8": 800}), (4, 8, 16))
    price = 0.7 / 2 / 1.4
    eight = 4 * price + 0.0375 / 1.4 / 0.25
    assert found[0, BITS.index(16)] == pytest.approx(-eight)
    assert found[0, BITS.index(4)] == pytest.approx(5 * price - eight)
    assert found[1, BITS.index(4)] == pytest.approx(price)


@pytest.mark.parametrize("changes", [{}, {"8/4": 1450, "8/8": 1400}, {"16/4": 850}])
@pytest.mark.parametrize("price", [0, 0.04, 0.06, 0.2, 0.3, 2, 3, 20])
def test_regions_choose_as_the_best_pair_does_at_any_price(
    changes: dict[str, float], price: float
) -> None:
    sample, rows = by_hand(**changes), [BITS.index(b) for b in (4, 8, 16)]
    work = 0.25 * BIT_OPS[:, None] + 0.75 * BIT_OPS
    total = sample.cost / sample.cost[7, 7] + price * work
    best = np.unravel_index(np.nanargmin(total), total.shape)
    costs = region_costs(sample, (4, 8, 16))[:, rows] + price * BIT_OPS[rows]
    assert tuple(np.array(rows)[costs.argmin(1)]) == best


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
    shares = excess(frames, (2, 8, 16), {"clip": layer})
    fixed = [v for k, v in shares.items() if k != "learned"]
    assert len(fixed) == 9
    assert 0 <= shares["learned"] < 0.05 * min(fixed)


def test_what_is_measured_of_a_clip() -> None:
    """Each pair's cost is its own bits, brought to the PSNR of 8 bits along the curve of those."""
    clip, model = tiny_model.pictures(64, 64, 3), tiny_model.model()
    roi = RectangleRoi((0, 0, 32, 32), (64, 64))
    intra, inter = samples_of_clip("clip", clip, roi, 30, model)
    assert (intra.inter, inter.inter) == (False, True)
    assert intra.share == inter.share == 0.25
    of = BITS.index
    at = sorted((of(a), of(b)) for a, b in TRIED)
    assert sorted(map(tuple, np.argwhere(~np.isnan(inter.cost)))) == at
    assert np.array_equal(intra.cost[:, 1:], inter.cost[:, 1:], equal_nan=True)
    assert np.isnan(intra.cost[:, 0]).all()
    assert not intra.features[:, 6:].any()

    plain, coarse, other, fine, without_rest, ahead = (
        _coded(clip, roi, quality, model, pair)
        for quality, pair in [
            (30, (8, 8)),
            (24, (8, 8)),
            (19, (16, 4)),
            (40, (16, 8)),
            (40, (16, 0)),
            (30, (16, 4)),
        ]
    )
    assert without_rest.bits < fine.bits
    assert coarse.bits < plain.bits
    assert coarse.psnr < plain.psnr < ahead.psnr
    assert _ahead((16, 4)) == 11  # 17 in the ROI, which counts 0.8, less 11 outside
    assert inter.features == pytest.approx(plain.features[1:].mean(0))
    assert inter.cost[of(8), of(8)] == plain.bits
    # Bits of 8 and 8 at the other pair's PSNR, on a straight line through two points.
    slope = np.log(plain.bits / coarse.bits) / (plain.psnr - coarse.psnr)
    there = plain.bits * np.exp(slope * (other.psnr - plain.psnr))
    assert inter.cost[of(16), of(4)] / plain.bits == pytest.approx(other.bits / there)


def test_next_to_no_roi_teaches_nothing() -> None:
    clip = tiny_model.pictures(64, 64, 2)
    roi = RectangleRoi((0, 0, 64, 64), (64, 64))
    assert samples_of_clip("clip", clip, roi, 20, tiny_model.model()) == []


def share(cells: int) -> NDArray[np.bool_]:
    """A grid of 100 cells of which so many are ROI."""
    return (np.arange(100) < cells).reshape(10, 10)


def test_next_to_a_small_roi_the_rest_goes_one_step_lower() -> None:
    features = np.zeros((2, 10))
    for candidates, pair, expected in (
        ((4, 8, 16), (16, 8), (16, 4)),
        ((4, 6, 8, 16), (16, 8), (16, 6)),
        ((8, 16), (16, 8), (16, 8)),
        ((2, 4, 8), (8, 4), (8, 4)),
        ((4, 8, 16), (8, 8), (8, 8)),
    ):
        given = always(candidates, *map(candidates.index, pair))
        assert given.choose(features, share(5), inter=True) == pair
        for cells, found in ((5, expected), (30, pair)):
            sized = SizedSelector(given, candidates)
            assert sized.choose(features, share(cells), inter=False) == found
    sized = SizedSelector(always((4, 8, 16), 2, 1), (4, 8, 16))
    assert sized.choose(features, share(0), inter=True) == (8, 8)
    assert sized.choose(features, share(100), inter=True) == (16, 16)


def test_a_share_that_goes_to_and_fro_does_not_change_bit_widths() -> None:
    features = np.zeros((2, 10))
    sized = SizedSelector(always((4, 8, 16), 2, 1), (4, 8, 16))
    first = sized.choose(features, share(9), inter=False)
    assert first == (16, 4)
    pairs = {
        sized.choose(features, share(cells), inter=True) for cells in (12, 8, 11, 10, 12, 8) * 5
    }
    assert pairs == {first}
    later = [sized.choose(features, share(15), inter=True) for _ in range(20)]
    assert later[0] == first
    assert later[-1] == (16, 8)
    assert sized.choose(features, share(5), inter=False) == (16, 4)
