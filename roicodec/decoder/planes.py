"""Planes of samples, padded and packed into the rows that networks read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import PAD
from roicodec.picture import Picture, Plane

__all__ = ["Packed", "crop", "padded", "padded_size"]

Packed = NDArray[np.int16]
"""Rows of 96 samples, one for each 8x8 block in raster order: the block of Y, then the 4x4 blocks
of U and of V, each in raster order; ``[(H/8) (W/8), 96]`` (:mod:`roicodec.kernels.packing`)."""


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


def crop(planes: Sequence[Plane], width: int, height: int, pts: int, duration: int) -> Picture:
    """The picture inside padded planes."""
    half = (height + 1) // 2, (width + 1) // 2
    sizes = (height, width), half, half
    y, u, v = (
        np.ascontiguousarray(plane[:rows, :columns])
        for plane, (rows, columns) in zip(planes, sizes, strict=True)
    )
    return Picture(y, u, v, pts, duration)
