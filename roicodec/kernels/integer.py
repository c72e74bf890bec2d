"""The integer arithmetic of the networks: the definition every backend must reproduce.

A tensor is integers times a power of two. This module is the specification, in numpy int64 and
without any thought for speed; ``docs/arithmetic.md`` states it in words, with the bounds that keep
it exact elsewhere. Nothing here is ever approximate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roicodec.errors import ModelError

__all__ = [
    "CANDIDATE_BITS",
    "MAX_WEIGHT",
    "SKELETON",
    "Depthwise",
    "Grid",
    "Ints",
    "Layer",
    "Pointwise",
    "Quantize",
    "accumulate",
    "accumulator_bound",
    "depthwise",
    "pointwise",
    "quantize",
    "requantize",
    "round_shift",
]

Ints = NDArray[np.int64]

CANDIDATE_BITS = (2, 3, 4, 5, 6, 7, 8, 16)
"""Bit-widths for which weights and activations are defined."""

MAX_WEIGHT = 127 * 256 + 127
"""Largest absolute value of a 16-bit weight: two signed bytes, ``256 * high + low``."""

_MIN_SHIFT, _MAX_SHIFT = -15, 31
_FLOAT32_EXACT = 1 << 24


@dataclass(frozen=True)
class Grid:
    """The integers that an activation may take.

    Signed: ``[-2**(bits-1), 2**(bits-1) - 1]``. Unsigned (after ReLU): ``[0, 2**bits - 1]``, but
    ``[0, 2**15 - 1]`` at 16 bits, so that every 16-bit tensor is an int16.
    """

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        if self.bits not in CANDIDATE_BITS:
            raise ModelError(f"bit-width {self.bits}: must be one of {CANDIDATE_BITS}")

    @property
    def low(self) -> int:
        """The smallest integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest integer."""
        return (1 << (self.bits - 1 if self.signed or self.bits == 16 else self.bits)) - 1

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(-self.low, self.high)


SKELETON = Grid(16, signed=True)
"""The linear path (residual stream, projections, latents): saturating int16."""


@dataclass(frozen=True, eq=False)
class Quantize:
    """Conversion from the skeleton to the grid of a branch: shifts ``[C]``, each in -15..16.

    The shift of a channel is log2(step of the branch / step of the skeleton), per channel where the
    channels of the skeleton were equalized.
    """

    shift: Ints
    target: Grid

    def __post_init__(self) -> None:
        _set(self, "shift", self.shift, 1)
        if (self.shift < _MIN_SHIFT).any() or (self.shift > 16).any():
            raise ModelError(f"quantizer: shifts must lie in {_MIN_SHIFT}..16")


@dataclass(frozen=True, eq=False)
class _Convolution:
    weight: Ints
    """Integers ``[Cout, Cin]`` (pointwise) or ``[C, 3, 3]`` (depthwise)."""
    bias: Ints
    """Integers ``[Cout]``, in units of the accumulator."""
    shift: Ints
    """``[Cout]``, each in -15..31: the accumulator is multiplied by ``2**-shift``."""
    source: Grid
    """Grid of the input."""
    target: Grid
    """Grid of the output; an unsigned one makes the clamp a ReLU."""
    name: str = field(default="layer", kw_only=True)
    """Used in error messages."""

    def __post_init__(self) -> None:
        _set(self, "weight", self.weight, 2 if isinstance(self, Pointwise) else 3)
        _set(self, "bias", self.bias, 1)
        _set(self, "shift", self.shift, 1)
        channels = len(self.weight)
        if len(self.bias) != channels or len(self.shift) != channels:
            raise ModelError(f"{self.name}: weight, bias and shift differ in output channels")
        if (abs(self.weight) > MAX_WEIGHT).any():
            raise ModelError(f"{self.name}: a weight lies outside -{MAX_WEIGHT}..{MAX_WEIGHT}")
        if (self.shift < _MIN_SHIFT).any() or (self.shift > _MAX_SHIFT).any():
            raise ModelError(f"{self.name}: shifts must lie in {_MIN_SHIFT}..{_MAX_SHIFT}")
        down, up = np.maximum(self.shift, 0), np.maximum(-self.shift, 0)
        bound = accumulator_bound(self.weight, self.bias, self.source) << up
        bound += (np.int64(1) << down) >> 1
        worst = int(bound.argmax()) if channels else 0
        if channels and bound[worst] >= 1 << 31:
            raise ModelError(
                f"{self.name}: output channel {worst} can reach {bound[worst]}, which does not fit "
                f"the 32-bit accumulator; train or scale its weights smaller"
            )

    @property
    def weight_bits(self) -> int:
        """Bits of the smallest word (8 or 16) that holds every weight."""
        return 8 if (abs(self.weight + 0.5) < 128).all() else 16


@dataclass(frozen=True, eq=False)
class Pointwise(_Convolution):
    """A 1x1 convolution on rows ``[N, Cin] -> [N, Cout]``.

    Raises:
        ModelError: if the arrays do not fit together, or an accumulator could overflow int32.
    """


@dataclass(frozen=True, eq=False)
class Depthwise(_Convolution):
    """A depthwise 3x3 convolution on a frame ``[H, W, C]``, zeros outside.

    Raises:
        ModelError: as :class:`Pointwise`; also if the source grid is signed or wider than 8 bits,
            a weight needs more than 8 bits, or an accumulator could reach 2**24.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.shape[1:] != (3, 3):
            raise ModelError(f"{self.name}: depthwise weights must be [C, 3, 3]")
        if self.source.signed or self.source.bits > 8 or self.weight_bits > 8:
            raise ModelError(
                f"{self.name}: depthwise layers take unsigned 8 bits and 8-bit weights"
            )
        if (accumulator_bound(self.weight, self.bias, self.source) >= _FLOAT32_EXACT).any():
            raise ModelError(f"{self.name}: a depthwise accumulator could reach 2**24")


Layer = Quantize | Pointwise | Depthwise


def _set(owner: object, name: str, value: ArrayLike, ndim: int) -> None:
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.ndim != ndim:
        raise ModelError(f"{type(owner).__name__}.{name}: {ndim}-d integers needed")
    array = array.astype(np.int64)
    array.setflags(write=False)
    object.__setattr__(owner, name, array)


def accumulator_bound(weight: ArrayLike, bias: ArrayLike, source: Grid) -> Ints:
    """``sum|w| * max|a| + |bias|`` for every output channel, ``[Cout]``."""
    w = np.abs(np.asarray(weight, np.int64))
    total: Ints = w.reshape(len(w), -1).sum(1) * source.magnitude + np.abs(np.asarray(bias))
    return total


def round_shift(value: ArrayLike, shift: ArrayLike) -> Ints:
    """``value * 2**-shift`` rounded to the nearest integer, ties to even; shift may be negative."""
    v = np.asarray(value, np.int64)
    s = np.asarray(shift, np.int64)
    down = np.maximum(s, 0)
    floor = v >> down
    rest = v - (floor << down)
    half = (np.int64(1) << down) >> 1
    up = (rest > half) | ((rest == half) & (floor & 1 == 1))
    result: Ints = np.where(s > 0, floor + up, v << np.maximum(-s, 0))
    return result


def requantize(acc: ArrayLike, shift: ArrayLike, target: Grid) -> Ints:
    """``clamp(round_half_even(acc * 2**-shift))`` to the target grid."""
    return np.clip(round_shift(acc, shift), target.low, target.high)


def quantize(values: ArrayLike, layer: Quantize) -> Ints:
    """Skeleton ``[..., C]`` to the grid of a branch."""
    return requantize(values, layer.shift, layer.target)


def _accumulators(codes: ArrayLike, layer: Pointwise) -> Ints:
    # Sums below 2**31 are exact in float64, whose products are much faster than those of int64.
    sums = np.asarray(codes, np.float64) @ layer.weight.T.astype(np.float64)
    return sums.astype(np.int64) + layer.bias


def pointwise(codes: ArrayLike, layer: Pointwise) -> Ints:
    """Rows ``[N, Cin] -> [N, Cout]``: ``requantize(bias + sum w a)``."""
    return requantize(_accumulators(codes, layer), layer.shift, layer.target)


def accumulate(skeleton: ArrayLike, codes: ArrayLike, layer: Pointwise) -> Ints:
    """Skeleton with a branch added: ``clamp(round_half_even(skeleton + acc * 2**-shift))``.

    The sum is rounded once, not the branch first: ties depend on the skeleton's parity.
    """
    down, up = np.maximum(layer.shift, 0), np.maximum(-layer.shift, 0)
    total = (np.asarray(skeleton, np.int64) << down) + (_accumulators(codes, layer) << up)
    return requantize(total, down, layer.target)


def depthwise(codes: ArrayLike, layer: Depthwise) -> Ints:
    """Frame ``[H, W, C] -> [H, W, C]``, cross-correlation with zeros outside the frame."""
    a = np.asarray(codes, np.int64)
    height, width, _ = a.shape
    padded = np.pad(a, ((1, 1), (1, 1), (0, 0)))
    acc = np.broadcast_to(layer.bias, a.shape).copy()
    for dy in range(3):
        for dx in range(3):
            acc += padded[dy : dy + height, dx : dx + width] * layer.weight[:, dy, dx]
    return requantize(acc, layer.shift, layer.target)
