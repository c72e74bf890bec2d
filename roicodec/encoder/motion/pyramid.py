"""Hierarchical block search between any two pictures, at whole samples.

Both pictures are halved three times. On the coarsest level every displacement is tried; on each
finer one a block starts from its parent's vector, its neighbours', those of other fields, and goes
downhill. Blocks of a pass do not depend on each other, so passes run in bands::

    1/8: 8x8 windows 4 apart, all of +-16  (luma: 32 apart, +-128)
    1/4: 8x8 blocks                        (luma: 32 apart)
    1/2: 8x8 blocks                        (luma: 16 apart, the units of motion coding)
    1:   16x16 blocks
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from roicodec.bitstream.constants import VECTOR_LIMIT
from roicodec.bitstream.entropy import Ints
from roicodec.encoder.motion.match import probe_planes
from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation
from roicodec.picture import Plane

__all__ = ["Level", "Pyramid", "halve", "hierarchical", "search_all", "search_near"]

Field = NDArray[np.int16]

_LEVELS = 3
_REACH = 16
"""Displacements that are tried on the coarsest level."""
_MARGINS = (16, 8, 8, 2 * _REACH)
_SPACING, _WINDOW = (16, 8, 8, 4), (16, 8, 8, 8)
_PASSES = ((2, 1), (2, 2), (3, 1), (0,))
"""Most steps downhill of every pass, by level."""
_BIT_PRICE = 1.0
"""Sum of absolute differences that a bit of motion is worth, in quantizer steps, on full size."""
_RING = ((0, -1), (-1, 0), (1, 0), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1))


@dataclass(frozen=True, eq=False)
class Level:
    """A level of two pyramids.

    Attributes:
        current, reference: uint8 ``[H + 2 margin, W + 2 margin]``, edges repeated.
        margin: samples around, at least a window.
        spacing: of blocks.
        window: side of what is compared, around the block's middle: 8 or 16.
    """

    current: Plane
    reference: Plane
    margin: int
    spacing: int
    window: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width without margin."""
        height, width = self.current.shape
        return height - 2 * self.margin, width - 2 * self.margin

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        height, width = self.size
        return height // self.spacing, width // self.spacing


class Pyramid:
    """A picture at four sizes, so that it need not be halved for every search.

    Args:
        luma: uint8 ``[H, W]``, sides multiples of 32.

    Attributes:
        levels: full size first, each with its edge repeated around it.
    """

    def __init__(self, luma: Plane) -> None:
        planes = [np.ascontiguousarray(luma)]
        for _ in range(_LEVELS):
            planes.append(halve(planes[-1]))
        self.levels = [np.pad(p, m, mode="edge") for p, m in zip(planes, _MARGINS, strict=True)]


def hierarchical(
    current: Pyramid, reference: Pyramid, offers: Sequence[Field] = (), *, step: float
) -> Field:
    """Displacements of a picture's 16x16 units, int16 ``[H / 16, W / 16, 2]`` in whole samples.

    Args:
        current, reference: of pictures of one size.
        offers: fields to start from, too, in quarter samples, int16 ``[H / 8, W / 8, 2]``; the
            vector of a unit's first block counts.
        step: quantizer step of the residual, in sample values: what smoothness is worth.
    """
    field: Field | None = None
    for number in range(_LEVELS, -1, -1):
        level = Level(
            current.levels[number], reference.levels[number], _MARGINS[number], _SPACING[number],
            _WINDOW[number],
        )  # fmt: skip
        # A window's sum is over fewer samples than its block has in luma, and means are calmer.
        weight = max(round(16 * _BIT_PRICE * step * (_WINDOW[number] / 16) ** 2), 1)
        if field is None:
            field = search_all(level, weight, _REACH)
        else:
            factor = level.grid[0] // field.shape[0]
            field = 2 * field.repeat(factor, 0).repeat(factor, 1)
        blocks = (_SPACING[number] << number) // 8
        started = [_nearest(offer[::blocks, ::blocks], 4 << number) for offer in offers]
        limit = VECTOR_LIMIT >> (2 + number)
        for steps in _PASSES[number]:
            field = search_near(level, weight, limit, field, started, steps)
    assert field is not None
    return field


def _nearest(field: Field, unit: int) -> Field:
    """Vectors divided by a unit, rounded half up."""
    return np.ascontiguousarray((field + np.int16(unit // 2)) // np.int16(unit), np.int16)


# --- reference ----------------------------------------------------------------------------------


def _halve(plane: Plane) -> Plane:
    height, width = plane.shape
    parts = plane.reshape(height // 2, 2, width // 2, 2).astype(np.int32)
    means: Plane = ((parts.sum((1, 3)) + 2) >> 2).astype(np.uint8)
    return means


def _digits(value: Ints) -> Ints:
    return np.frexp(np.abs(value))[1].astype(np.int32)


def _costs(level: Level, weight: int, vectors: Ints, expected: Ints) -> Ints:
    """Costs of a vector of each block, ``[rows, columns, 2] -> [rows, columns]``."""
    rows, columns = level.grid
    m, window = level.margin, level.window
    row, column = np.indices((rows, columns))
    corner = np.stack([column, row], -1) * level.spacing + (level.spacing - window) // 2
    height, width = level.size
    most = np.array([width + m - window, height + m - window])
    to = np.clip(corner + vectors, -m, most) + m
    windows = [sliding_window_view(p, (window, window)) for p in (level.current, level.reference)]
    own = windows[0][corner[..., 1] + m, corner[..., 0] + m].astype(np.int32)
    other = windows[1][to[..., 1], to[..., 0]]
    away = _digits(vectors - expected).sum(-1)
    return np.asarray(16 * np.abs(own - other).sum((2, 3)) + weight * away, np.int32)


def _search_all(level: Level, weight: int, reach: int) -> Field:
    still = np.zeros((*level.grid, 2), np.int32)
    best, least = still.copy(), _costs(level, weight, still, still)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            _better(level, weight, still + np.array((dx, dy)), still, best, least)
    found: Field = best.astype(np.int16)
    return found


def _better(
    level: Level, weight: int, vectors: Ints, expected: Ints, best: Ints, least: Ints
) -> None:
    price = _costs(level, weight, vectors, expected)
    better = price < least
    best[better], least[better] = vectors[better], price[better]


def _search_near(
    level: Level, weight: int, limit: int, vectors: Field, offers: Sequence[Field], steps: int
) -> Field:
    around = np.pad(vectors.astype(np.int32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    beside = [around[:-2, 1:-1], around[1:-1, :-2], around[1:-1, 2:], around[2:, 1:-1]]
    ranked = np.sort(np.stack(beside), 0)
    expected = (ranked[1] + ranked[2]) >> 1
    best = np.zeros_like(expected)
    least = np.full(level.grid, 2**31 - 1, np.int32)
    own = around[1:-1, 1:-1]
    for tried in (own, *beside, best.copy(), *(offer.astype(np.int32) for offer in offers)):
        _better(level, weight, tried, expected, best, least)
    for _ in range(steps):
        centre = best.copy()
        for move in _RING:
            tried = np.clip(centre + np.array(move), -limit, limit)
            _better(level, weight, tried, expected, best, least)
    found: Field = best.astype(np.int16)
    return found


# --- native -------------------------------------------------------------------------------------


def _native_halve(plane: Plane) -> Plane:
    plane = np.ascontiguousarray(plane)
    height, width = plane.shape
    if height % 2 or width % 2:
        raise ValueError(f"a plane {plane.shape} to halve")
    out = np.empty((height // 2, width // 2), np.uint8)
    function("rq_halve", "pllp")(address(plane, np.uint8), height, width, address(out, np.uint8))
    return out


def _level_arguments(level: Level) -> tuple[int, ...]:
    """The first nine arguments of the native searches, ``pplllllll``."""
    if level.window not in (8, 16) or level.margin < level.window:
        raise ValueError(f"windows of {level.window} in a margin of {level.margin}")
    if level.current.shape != level.reference.shape or min(level.size) < level.spacing:
        raise ValueError(f"levels {level.current.shape} and {level.reference.shape}")
    return (
        address(level.current, np.uint8), address(level.reference, np.uint8), *level.size,
        level.margin, *level.grid, level.spacing, level.window,
    )  # fmt: skip


def _native_search_all(level: Level, weight: int, reach: int) -> Field:
    out = np.empty((*level.grid, 2), np.int16)
    fixed = _level_arguments(level)
    call = function("rq_search_all", "pplllllll" + "iip")
    call(*fixed, weight, reach, address(out, np.int16))
    return out


def _native_search_near(
    level: Level, weight: int, limit: int, vectors: Field, offers: Sequence[Field], steps: int
) -> Field:
    shape = (*level.grid, 2)
    vectors = np.ascontiguousarray(vectors)
    others = np.zeros((0, *shape), np.int16) if not offers else np.stack(offers)
    if vectors.shape != shape or others.shape[1:] != shape:
        raise ValueError(f"vectors {vectors.shape} and {others.shape} of blocks {level.grid}")
    out = np.empty(shape, np.int16)
    fixed = _level_arguments(level)
    call = function("rq_search_near", "pplllllll" + "iippllp")
    call(
        *fixed, weight, limit, address(vectors, np.int16), address(others, np.int16),
        len(others), steps, address(out, np.int16),
    )  # fmt: skip
    return out


# --- operations ---------------------------------------------------------------------------------


def _probe_halve(form: Callable[[Plane], Plane]) -> Arrays:
    for plane in probe_planes():
        yield form(plane)


def _probe_levels() -> tuple[Level, Level]:
    planes = probe_planes()
    fine = [np.pad(p, 16, mode="edge") for p in planes]
    coarse = [np.pad(_halve(p), 12, mode="edge") for p in planes]
    return Level(fine[0], fine[1], 16, 16, 16), Level(coarse[0], coarse[1], 12, 4, 8)


def _probe_all(form: Callable[[Level, int, int], Field]) -> Arrays:
    yield form(_probe_levels()[1], 40, 3)


def _probe_near(form: Callable[..., Field]) -> Arrays:
    for level in _probe_levels():
        row, column = np.indices(level.grid)
        field = np.stack([row * 13 % 41 - 20, column * 29 % 37 - 18], -1).astype(np.int16)
        yield form(level, 25, 511, field, (), 0)
        yield form(level, 90, 30, field, (field[::-1], -field), 3)


halve = Operation("halving of a plane", _halve, _native_halve, _probe_halve, 0x56F1EB27)
"""Mean of every 2x2 samples, rounded half up.

Args:
    plane: uint8 ``[H, W]``, sides even.
"""

search_all = Operation(
    "search of all vectors", _search_all, _native_search_all, _probe_all, 0xD20D6CA1
)
"""Displacement of each block that costs least of all within reach, int16 ``[rows, columns, 2]``.

Args:
    level: whose margin is at least reach + window.
    weight: of a digit of a vector's component, in 1/16 of an absolute difference.
    reach: largest component that is tried.
"""

search_near = Operation(
    "search near vectors", _search_near, _native_search_near, _probe_near, 0xD6A27876
)
"""Displacement of each block that costs least of those that it, its neighbours and other fields
have, improved downhill, int16 ``[rows, columns, 2]``.

Args:
    level: the level.
    weight: of a digit of the difference from the neighbours' median, as for :data:`search_all`.
    limit: largest component of a vector that downhill steps reach.
    vectors: int16 ``[rows, columns, 2]``, in samples of the level.
    offers: further fields of that shape.
    steps: most steps downhill, each to the best of eight neighbours.
"""
