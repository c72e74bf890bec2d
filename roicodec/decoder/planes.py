"""Padding and packing of planes, as integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from roicodec.bitstream.constants import BLOCK, PACKING, PAD
from roicodec.picture import Picture, Plane

__all__ = [
    "bytes_of",
    "crop",
    "pack",
    "padded",
    "padded_size",
    "plane_means",
    "plane_of",
    "unpack",
]

_SIDES = (BLOCK, BLOCK // 2, BLOCK // 2)


def padded_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the padded luma plane."""
    return -(-width // PAD) * PAD, -(-height // PAD) * PAD


def padded(picture: Picture) -> tuple[Tensor, Tensor, Tensor]:
    """Planes extended to the padded size, float32 holding integers, ``[1, H, W]`` each."""
    width, height = padded_size(picture.width, picture.height)
    out = []
    for plane, scale in zip(picture.planes, (1, 2, 2), strict=True):
        below, right = height // scale - plane.shape[0], width // scale - plane.shape[1]
        wide = np.pad(plane, ((0, below), (0, right)), mode="edge")
        out.append(plane_of(wide))
    return out[0], out[1], out[2]


def pack(planes: Sequence[Tensor]) -> Tensor:
    """Planes ``[1, H, W]`` to rows of 96 samples, int32 ``[(H/8) (W/8), 96]``.

    A row holds an 8x8 block of Y, then the 4x4 blocks of U and V, each in raster order.
    """
    rows = []
    for plane, side in zip(planes, _SIDES, strict=True):
        _, height, width = plane.shape
        blocks = plane.view(height // side, side, width // side, side).transpose(1, 2)
        rows.append(blocks.reshape(-1, side * side))
    return torch.cat(rows, 1).to(torch.int32)


def unpack(rows: Tensor, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
    """The inverse of :func:`pack`, for padded sizes; float32 ``[1, H, W]``."""
    out = []
    for part, side in zip(torch.split(rows, list(PACKING), 1), _SIDES, strict=True):
        blocks = part.reshape(height // 8, width // 8, side, side).transpose(1, 2)
        out.append(blocks.reshape(1, height * side // 8, width * side // 8).float())
    return out[0], out[1], out[2]


def plane_means(rows: Tensor) -> Tensor:
    """Packed rows ``[N, 96]`` with every sample replaced by its block's mean, rounded half up."""
    out = []
    for part in torch.split(rows, list(PACKING), 1):
        mean = (2 * part.sum(1, keepdim=True) + part.shape[1]) // (2 * part.shape[1])
        out.append(mean.expand_as(part))
    return torch.cat(out, 1).to(rows.dtype)


def plane_of(samples: Plane) -> Tensor:
    """The inverse of :func:`bytes_of`, float32."""
    return torch.from_numpy(samples.astype(np.float32))[None]


def bytes_of(plane: Tensor) -> Plane:
    """The samples of a plane ``[1, H, W]``, uint8 ``[H, W]``."""
    return plane[0].numpy(force=True).astype(np.uint8)


def crop(planes: Sequence[Plane], width: int, height: int, pts: int, duration: int) -> Picture:
    """The picture inside padded planes."""
    half = (height + 1) // 2, (width + 1) // 2
    sizes = (height, width), half, half
    y, u, v = (
        np.ascontiguousarray(plane[:rows, :columns])
        for plane, (rows, columns) in zip(planes, sizes, strict=True)
    )
    return Picture(y, u, v, pts, duration)
