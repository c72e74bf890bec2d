"""PSNR of pictures, whole and by region, as encoder, training and evaluation measure it.

Masks are bool ``[H, W]``, True inside the ROI, at the size of the luma plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.errors import InputError
from roicodec.picture import Picture, Plane

__all__ = [
    "MAX_PSNR",
    "ROI_WEIGHT",
    "RegionPsnr",
    "chroma_mask",
    "decibels",
    "mask_fits",
    "psnr",
    "psnr_regions",
]

MAX_PSNR = 100.0
"""PSNR in dB that stands for identical planes, so that means over frames stay finite."""

ROI_WEIGHT = 0.8
"""Weight of the ROI's mean squared error in the ROI-weighted measures; the rest has 0.2."""

Mask = NDArray[np.bool_]
Values = tuple[float, float, float, float]


def _same_size(a: Picture, b: Picture) -> None:
    """Check of two pictures before they are compared.

    Raises:
        InputError: if a plane of one is larger than the same of the other.
    """
    if a.y.shape != b.y.shape or a.u.shape != b.u.shape or a.v.shape != b.v.shape:
        raise InputError(
            f"cannot compare pictures of {a.width}x{a.height} and {b.width}x{b.height}"
        )


def decibels(mse: float) -> float:
    """PSNR in dB of a mean squared error of 8-bit samples, at most :data:`MAX_PSNR`."""
    if not mse > 0:
        return MAX_PSNR if mse == 0 else float("nan")
    return min(MAX_PSNR, float(10 * np.log10(255.0**2 / mse)))


def _squared_error(a: Plane, b: Plane) -> NDArray[np.int64]:
    """Squared difference of every sample of two planes of one shape, int64."""
    d = a.astype(np.int64) - b
    return d * d


def psnr(a: Picture, b: Picture) -> Values:
    """PSNR in dB of the planes Y, U, V and their weighted mean (6Y + U + V) / 8.

    Identical planes count as :data:`MAX_PSNR`.

    Raises:
        InputError: if the pictures differ in size.
    """
    _same_size(a, b)
    pairs = zip(a.planes, b.planes, strict=True)
    y, u, v = (decibels(float(_squared_error(p, q).mean())) for p, q in pairs)
    return y, u, v, (6 * y + u + v) / 8


def chroma_mask(mask: Mask) -> Mask:
    """The mask on the 4:2:0 chroma grid, ``[(H + 1) // 2, (W + 1) // 2]``.

    A chroma sample lies in the ROI when any of its luma samples does.
    """
    h, w = mask.shape
    even = np.pad(mask, ((0, h % 2), (0, w % 2)))
    return even[::2, ::2] | even[1::2, ::2] | even[::2, 1::2] | even[1::2, 1::2]


@dataclass(frozen=True, slots=True)
class RegionPsnr:
    """PSNR in dB by region, of luma and of all planes together; NaN where a region is empty.

    Mean squared errors are what is weighted here, decibels only come last: over the planes
    (6Y + U + V) / 8, over the regions ``w·roi + (1 - w)·background``.

    Attributes:
        roi_y, roi_yuv: inside the mask.
        background_y, background_yuv: outside it.
        weighted_y, weighted_yuv: both; of the whole frame where either region is empty.
    """

    roi_y: float
    roi_yuv: float
    background_y: float
    background_yuv: float
    weighted_y: float
    weighted_yuv: float


def psnr_regions(a: Picture, b: Picture, mask: Mask, weight: float = ROI_WEIGHT) -> RegionPsnr:
    """PSNR inside a mask, outside it, and weighted.

    Raises:
        InputError: if the pictures differ in size, or the mask's size is not the luma plane's.
    """
    _same_size(a, b)
    mask_fits(mask, a.y.shape)
    half = chroma_mask(mask)
    inside, outside, whole = np.zeros(3), np.zeros(3), np.zeros(3)
    for i, (p, q, m) in enumerate(zip(a.planes, b.planes, (mask, half, half), strict=True)):
        error = _squared_error(p, q)
        inside[i] = error[m].mean() if m.any() else np.nan
        outside[i] = error[~m].mean() if not m.all() else np.nan
        whole[i] = error.mean()
    weighted = weight * inside + (1 - weight) * outside
    if np.isnan(weighted).any():
        weighted = whole
    planes = np.array([6, 1, 1]) / 8
    values = [
        decibels(v) for e in (inside, outside, weighted) for v in (float(e[0]), float(planes @ e))
    ]
    return RegionPsnr(*values)


def mask_fits(mask: Mask, shape: tuple[int, ...]) -> None:
    """Check of a mask before it is used: bool, of the luma plane's shape.

    Raises:
        InputError: if it is not.
    """
    if mask.shape != shape or mask.dtype != np.bool_:
        raise InputError(
            f"ROI mask is {mask.dtype} {mask.shape}, the picture needs bool {tuple(shape)}"
        )
