"""Planes of samples, padded and packed into the rows that networks read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import BLOCK, PACKING, PAD
from roicodec.picture import Picture, Plane

__all__ = ["Packed", "crop", "pack", "padded", "padded_size", "plane_means", "unpack"]

Packed = NDArray[np.int32]
"""Rows of 96 samples, one for each 8x8 block in raster order: the block of Y, then the 4x4 blocks
of U and of V, each in raster order; ``[(H/8) (W/8), 96]``."""

_SIDES = (BLOCK, BLOCK // 2, BLOCK // 2)
_ENDS = np.cumsum(PACKING)[:-1]


def padded_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the padded luma plane."""
    return -(-width // PAD) * PAD, -(-height // PAD) * PAD


def padded(picture: Picture) -> tuple[Plane, Plane, Plane]:
    """Planes of a picture extended to the padded size, the last row and column repeated."""
    width, height = padded_size(picture.width, picture.height)
    y, u, v = (
        np.pad(
            plane,
            ((0, height // scale - plane.shape[0]), (0, width // scale - plane.shape[1])),
            mode="edge",
        )
        for plane, scale in zip(picture.planes, (1, 2, 2), strict=True)
    )
    return y, u, v


def pack(planes: Sequence[Plane]) -> Packed:
    """Padded Y, U and V as packed rows, int32 ``[(H/8) (W/8), 96]``."""
    height, width = planes[0].shape
    rows = np.empty((height // BLOCK * (width // BLOCK), sum(PACKING)), np.int32)
    for part, plane, side in zip(np.split(rows, _ENDS, 1), planes, _SIDES, strict=True):
        blocks = plane.reshape(height // BLOCK, side, width // BLOCK, side).swapaxes(1, 2)
        part.reshape(height // BLOCK, width // BLOCK, side, side)[...] = blocks
    return rows


def unpack(rows: Packed, width: int, height: int) -> tuple[Plane, Plane, Plane]:
    """Padded Y, U and V of packed rows: the inverse of :func:`pack`; values must be 0..255."""
    out: list[Plane] = []
    for part, side in zip(np.split(rows, _ENDS, 1), _SIDES, strict=True):
        blocks = part.reshape(height // BLOCK, width // BLOCK, side, side).swapaxes(1, 2)
        shape = height // BLOCK * side, width // BLOCK * side
        out.append(blocks.astype(np.uint8, order="C").reshape(shape))
    return out[0], out[1], out[2]


def plane_means(rows: Packed) -> Packed:
    """Packed rows ``[N, 96]`` with every sample replaced by its block's mean, rounded half up."""
    out = np.empty_like(rows)
    for part, means in zip(np.split(rows, _ENDS, 1), np.split(out, _ENDS, 1), strict=True):
        means[...] = (2 * part.sum(1, keepdims=True) + part.shape[1]) // (2 * part.shape[1])
    return out


def crop(planes: Sequence[Plane], width: int, height: int, pts: int, duration: int) -> Picture:
    """The picture inside padded planes."""
    half = (height + 1) // 2, (width + 1) // 2
    sizes = (height, width), half, half
    y, u, v = (
        np.ascontiguousarray(plane[:rows, :columns])
        for plane, (rows, columns) in zip(planes, sizes, strict=True)
    )
    return Picture(y, u, v, pts, duration)
