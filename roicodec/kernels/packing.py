"""Packed rows of samples: from planes and back, and block means.

A row has the 96 samples of an 8x8 block: 8x8 of Y, then 4x4 of U and of V, each in raster order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = ["ROW", "block_means", "pack", "unpack"]

_PARTS = (64, 16, 16)
_SIDES = (8, 4, 4)
_ENDS = (64, 80)
_BLOCK = 8

ROW = sum(_PARTS)
"""Samples of a row."""

Rows = NDArray[np.int16]
Samples = NDArray[np.uint8]
Planes = tuple[Samples, Samples, Samples]


# --- reference ----------------------------------------------------------------------------------


def _pack(planes: Sequence[Samples]) -> Rows:
    lines, per_line = _grid(planes[0].shape)
    rows = np.empty((lines * per_line, ROW), np.int16)
    for part, plane, side in zip(np.split(rows, _ENDS, 1), planes, _SIDES, strict=True):
        blocks = plane.reshape(lines, side, per_line, side).swapaxes(1, 2)
        part.reshape(lines, per_line, side, side)[...] = blocks
    return rows


def _unpack(rows: Rows, width: int, height: int) -> Planes:
    lines, per_line = _grid((height, width))
    out: list[Samples] = []
    for part, side in zip(np.split(rows, _ENDS, 1), _SIDES, strict=True):
        blocks = part.reshape(lines, per_line, side, side).swapaxes(1, 2)
        out.append(blocks.astype(np.uint8, order="C").reshape(lines * side, per_line * side))
    return out[0], out[1], out[2]


def _block_means(rows: Rows, chosen: NDArray[np.bool_]) -> Rows:
    out = rows.copy()
    for part, size in zip(np.split(out, _ENDS, 1), _PARTS, strict=True):
        sums = part[chosen].sum(1, dtype=np.int32, keepdims=True)
        part[chosen] = (2 * sums + size) // (2 * size)
    return out


# --- native -------------------------------------------------------------------------------------


def _native_pack(planes: Sequence[Samples]) -> Rows:
    y, u, v = (np.ascontiguousarray(plane) for plane in planes)
    lines, per_line = _grid(y.shape)
    half = y.shape[0] // 2, y.shape[1] // 2
    if u.shape != half or v.shape != half:
        raise ValueError(f"planes {y.shape}, {u.shape}, {v.shape}")
    rows = np.empty((lines * per_line, ROW), np.int16)
    function("rq_pack", "pppllp")(
        address(y, np.uint8), address(u, np.uint8), address(v, np.uint8), lines, per_line,
        address(rows, np.int16),
    )  # fmt: skip
    return rows


def _native_unpack(rows: Rows, width: int, height: int) -> Planes:
    lines, per_line = _grid((height, width))
    rows = _rows(rows)
    if len(rows) != lines * per_line:
        raise ValueError(f"packed rows {rows.shape} of a frame of {width}x{height}")
    y = np.empty((height, width), np.uint8)
    u, v = (np.empty((height // 2, width // 2), np.uint8) for _ in range(2))
    function("rq_unpack", "pllppp")(
        address(rows, np.int16), lines, per_line, address(y, np.uint8), address(u, np.uint8),
        address(v, np.uint8),
    )  # fmt: skip
    return y, u, v


def _native_block_means(rows: Rows, chosen: NDArray[np.bool_]) -> Rows:
    out, chosen = _rows(rows).copy(), np.ascontiguousarray(chosen)
    if chosen.shape != (len(out),):
        raise ValueError(f"packed rows {rows.shape} and choice {chosen.shape}")
    function("rq_block_means", "ppl")(address(out, np.int16), address(chosen, np.bool_), len(out))
    return out


def _rows(rows: Rows) -> Rows:
    if rows.ndim != 2 or rows.shape[1] != ROW:
        raise ValueError(f"packed rows of shape {rows.shape}")
    return np.ascontiguousarray(rows)


def _grid(shape: tuple[int, ...]) -> tuple[int, int]:
    height, width = shape
    if height % _BLOCK or width % _BLOCK:
        raise ValueError(f"a plane of {width}x{height}: sides must be multiples of {_BLOCK}")
    return height // _BLOCK, width // _BLOCK


# --- operations ---------------------------------------------------------------------------------


def _probe_rows() -> Rows:
    """Samples."""
    number = np.arange(12 * ROW).reshape(12, ROW)
    return (number * number % 256).astype(np.int16)


def _probe_pack(form: Callable[[Sequence[Samples]], Rows]) -> Arrays:
    yield form(_unpack(_probe_rows(), 32, 24))


def _probe_unpack(form: Callable[[Rows, int, int], Planes]) -> Arrays:
    yield from form(_probe_rows(), 24, 32)


def _probe_means(form: Callable[[Rows, NDArray[Any]], Rows]) -> Arrays:
    yield form(_probe_rows(), np.arange(12) % 3 > 0)


pack = Operation("packing", _pack, _native_pack, _probe_pack, 0x6985B8FC)
"""Packed rows of Y, U and V, int16 ``[(H/8) (W/8), 96]``.

Args:
    planes: uint8 ``[H, W]`` and twice ``[H / 2, W / 2]``; H and W multiples of 8.
"""

unpack = Operation("unpacking", _unpack, _native_unpack, _probe_unpack, 0x74A42EE9)
"""Y, U and V of packed rows: the inverse of :data:`pack`.

Args:
    rows: samples 0..255, int16 ``[(H/8) (W/8), 96]``.
    width, height: of the luma plane, multiples of 8.
"""

block_means = Operation("block means", _block_means, _native_block_means, _probe_means, 0xC49786C5)
"""Packed rows with the samples of some replaced by the means of their blocks, rounded half up.

Args:
    rows: samples 0..255, int16 ``[N, 96]``.
    chosen: rows to replace, bool ``[N]``.

Returns:
    int16 ``[N, 96]``.
"""
