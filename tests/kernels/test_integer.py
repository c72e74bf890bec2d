"""The integer definition against exact rational arithmetic, and its bounds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roicodec.errors import ModelError
from roicodec.kernels import integer
from roicodec.kernels.integer import SKELETON, Grid, Pointwise
from roicodec.kernels.prepare import integer_layer
from tests import layers

U8 = Grid(8, signed=False)
S4 = Grid(4, signed=True)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-15, 31))
def test_round_shift_is_rational_rounding(value: int, shift: int) -> None:
    # Python rounds fractions half to even.
    assert int(integer.round_shift(value, shift)) == round(Fraction(value) / Fraction(2) ** shift)


def test_ties_go_to_even() -> None:
    assert integer.round_shift([-6, -2, 2, 6, 10, 14], 2).tolist() == [-2, 0, 0, 2, 2, 4]


@pytest.mark.parametrize(
    ("grid", "low", "high"),
    [
        (Grid(2, signed=True), -2, 1),
        (Grid(2, signed=False), 0, 3),
        (U8, 0, 255),
        (SKELETON, -32768, 32767),
        (Grid(16, signed=False), 0, 32767),
    ],
)
def test_grids(grid: Grid, low: int, high: int) -> None:
    assert (grid.low, grid.high) == (low, high)
    clamped = integer.requantize([-(10**6), 10**6], 0, grid)
    assert clamped.tolist() == [low, high]


def test_pointwise_by_hand() -> None:
    layer = layers.pointwise([[3, -2], [1, 7]], [5, -4], [1, 2], S4, U8)
    # 3*7 + 2*8 + 5 = 42 -> 21; 7 - 56 - 4 = -53 -> clamped. -3 + 2 + 5 = 4 -> 2; -12/4 = -3 -> 0.
    assert integer.pointwise([[7, -8], [-1, -1]], layer).tolist() == [[21, 0], [2, 0]]


def test_accumulate_rounds_the_sum_once() -> None:
    layer = layers.pointwise([[1]], [0], [1], S4, SKELETON)
    # 1 + 0.5 -> 2 and 2 + 0.5 -> 2: the tie goes to the even sum.
    skeleton = np.array([[1], [2], [32767], [-32768]])
    assert integer.accumulate(skeleton, [[1], [1], [3], [-8]], layer).ravel().tolist() == [
        2,
        2,
        32767,
        -32768,
    ]


def test_accumulate_with_a_coarse_branch() -> None:
    layer = layers.pointwise([[3]], [1], [-2], S4, SKELETON)
    assert integer.accumulate([[10]], [[5]], layer).tolist() == [[10 + 16 * 4]]


def test_depthwise_is_a_zero_padded_correlation() -> None:
    weight = np.arange(9).reshape(1, 3, 3)
    layer = layers.depthwise(weight, [0], [0], U8, U8)
    frame = np.zeros((3, 4, 1), np.int64)
    frame[0, 0] = 1
    frame[2, 3] = 10
    expected = [[4, 3, 0, 0], [1, 0, 80, 70], [0, 0, 50, 40]]
    assert integer.depthwise(frame, layer)[..., 0].tolist() == expected


def test_quantize_shifts_each_channel() -> None:
    layer = layers.quantize([3, 0, -2], S4)
    assert integer.quantize([[20, 20, 1], [-4, -9, -3]], layer).tolist() == [[2, 7, 4], [0, -8, -8]]


def test_bound_is_reached_by_the_extremes() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.integers(-128, 128, (5, 7)), rng.integers(0, 99, 5)
    signed = Grid(8, signed=True)
    bound = integer.accumulator_bound(weight, bias, signed)
    rows = np.where(weight > 0, 127, -128)
    reached = (weight * rows).sum(1) + bias
    assert (reached <= bound).all()
    assert (reached >= bound - abs(weight).sum(1)).all()


def test_accumulators_that_overflow_are_refused() -> None:
    # 65535 * 32768 = 2**31 - 32768 leaves room for the half of a shift of 15, not of 16.
    weight = [[1, 1, 1], [32639, -32639, 257]]
    layers.pointwise(weight, [0, 0], [15, 15], SKELETON, SKELETON)
    with pytest.raises(ModelError, match=r"head: output channel 1 can reach 2147483648"):
        layers.pointwise(weight, [0, 0], [15, 16], SKELETON, SKELETON, name="head")
    with pytest.raises(ModelError, match="32-bit"):
        layers.pointwise(weight, [0, 32768], [15, 15], SKELETON, SKELETON)
    # What a shift below zero makes of the accumulator must fit as well.
    layers.pointwise([[1]], [0], [-15], SKELETON, SKELETON)
    with pytest.raises(ModelError, match="32-bit"):
        layers.pointwise([[2]], [0], [-15], SKELETON, SKELETON)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Grid(9, signed=True),
        lambda: layers.pointwise([[1.5]], [0], [0], U8, U8),
        lambda: layers.pointwise([[1]], [0, 0], [0], U8, U8),
        lambda: layers.pointwise([[40000]], [0], [0], U8, U8),
        lambda: layers.pointwise([[1]], [0], [32], U8, U8),
        lambda: layers.depthwise(np.ones((1, 3, 3), int), [0], [0], SKELETON, U8),
        lambda: layers.depthwise(np.full((1, 3, 3), 128), [0], [0], U8, U8),
        lambda: layers.depthwise(np.ones((1, 3, 3), int), [1 << 24], [0], U8, U8),
        lambda: layers.depthwise(np.ones((1, 2, 2), int), [0], [0], U8, U8),
        lambda: layers.quantize([17], U8),
    ],
)
def test_what_the_definition_excludes_is_refused(make: object) -> None:
    with pytest.raises(ModelError):
        make()  # type: ignore[operator]


def test_integer_layer_computes_what_the_reals_compute() -> None:
    rng = np.random.default_rng(1)
    weight, exponent = rng.integers(-8, 8, (4, 6)), np.array([-3, -4, -5, -6])
    bias = rng.integers(-64, 64, 4) / 32
    layer = integer_layer(
        Pointwise, weight, exponent, bias, source=(S4, -2), target=(SKELETON, -6), name="l"
    )
    codes = rng.integers(-8, 8, (10, 6))
    real = (codes / 4) @ (weight * np.exp2(exponent)[:, None]).T + bias
    assert (integer.pointwise(codes, layer) == np.rint(real * 64)).all()
