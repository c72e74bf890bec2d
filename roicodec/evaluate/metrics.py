"""Quality of a decoded picture: PSNR and MS-SSIM, of the whole frame, the ROI and the rest.

Masks are bool ``[H, W]``, True inside the ROI, at the size of the luma plane. All values are of
one frame; a clip's value is the mean over its frames (:func:`mean_quality`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.errors import InputError
from roicodec.picture import Picture, Plane
from roicodec.psnr import (
    ROI_WEIGHT,
    mask_fits,
    psnr,
    psnr_regions,
)

__all__ = [
    "Quality",
    "mean_quality",
    "ms_ssim",
    "ms_ssim_regions",
    "quality",
]

Mask = NDArray[np.bool_]
Values = tuple[float, float, float, float]

_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ms_ssim(a: Plane, b: Plane) -> float:
    """Multi-scale SSIM of two luma planes, uint8 ``[H, W]``; at most 1.

    Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment"
    (Asilomar 2003), equation 7: five scales, 11x11 Gaussian window of sigma 1.5 without
    padding, K = 0.01, 0.03. A plane with fewer than 176 samples on a side has only the scales
    that the window fits in, their exponents enlarged to the same sum.

    Raises:
        InputError: if the planes differ in size or are smaller than 11x11.
    """
    return ms_ssim_regions(a, b, None)[0]


def ms_ssim_regions(a: Plane, b: Plane, mask: Mask | None) -> tuple[float, float, float]:
    """MS-SSIM of the whole plane, inside the mask, and outside it.

    A region's value takes, at every scale, the mean of the structure (or SSIM) map weighted by
    the share of the region under each position; NaN where that share is zero at some scale.

    Args:
        a, b: luma planes, uint8 ``[H, W]``.
        mask: bool ``[H, W]``, or None: then both regions are NaN.
    """
    if a.shape != b.shape:
        raise InputError(f"cannot compare planes of {a.shape} and {b.shape} samples")
    shares: list[NDArray[np.float64]] = []
    if mask is not None:
        mask_fits(mask, a.shape)
        shares = [mask.astype(np.float64), (~mask).astype(np.float64)]
    if min(a.shape) < _WINDOW:
        raise InputError(f"MS-SSIM needs pictures of at least {_WINDOW}x{_WINDOW} samples")
    fitting = [i for i in range(len(_SCALE_WEIGHTS)) if min(a.shape) >> i >= _WINDOW]
    exponents = np.array(_SCALE_WEIGHTS)[fitting]
    exponents *= sum(_SCALE_WEIGHTS) / exponents.sum()
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = np.ones(3)
    for scale, exponent in enumerate(exponents):
        if scale:
            x, y = _halve(x), _halve(y)
            shares = [_halve(s) for s in shares]
        contrast, ssim = _ssim_maps(x, y)
        value = ssim if scale == fitting[-1] else contrast
        means = [float(value.mean()), *(_mean_under(value, s) for s in shares)]
        means += [float("nan")] * (3 - len(means))
        product *= np.maximum(means, 0) ** exponent
    whole, inside, outside = product.tolist()
    return whole, inside, outside


def _halve(x: NDArray[np.float64]) -> NDArray[np.float64]:
    h, w = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    x = x[:h, :w]
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


def _ssim_maps(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r = _WINDOW // 2
    g = cv2.getGaussianKernel(_WINDOW, _SIGMA, cv2.CV_64F)

    def blur(z: NDArray[np.float64]) -> NDArray[np.float64]:
        out = cv2.sepFilter2D(z, cv2.CV_64F, g, g)
        return np.asarray(out[r : z.shape[0] - r, r : z.shape[1] - r], np.float64)

    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    contrast = (2 * vxy + _C2) / (vx + vy + _C2)
    return contrast, contrast * (2 * mx * my + _C1) / (mx * mx + my * my + _C1)


def _mean_under(value: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    r = (share.shape[0] - value.shape[0]) // 2
    c = (share.shape[1] - value.shape[1]) // 2
    under = share[r : r + value.shape[0], c : c + value.shape[1]]
    total = under.sum()
    return float((value * under).sum() / total) if total > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class Quality:
    """Every quality measure, of one frame or averaged over frames.

    PSNR in dB; ``yuv`` is (6Y + U + V) / 8; MS-SSIM of luma; VMAF 0..100, NaN where it is not
    measured. Region measures are NaN without a
    mask, and where a region is empty.
    """

    psnr_y: float
    psnr_u: float
    psnr_v: float
    psnr_yuv: float
    msssim_y: float
    psnr_roi_y: float
    psnr_roi_yuv: float
    psnr_bg_y: float
    psnr_bg_yuv: float
    wpsnr_y: float
    wpsnr_yuv: float
    msssim_roi_y: float
    msssim_bg_y: float
    wmsssim_y: float
    vmaf: float = float("nan")

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def quality(a: Picture, b: Picture, mask: Mask | None = None) -> Quality:
    """Every measure of ``b`` against the original ``a``; a mask adds the region measures.

    Raises:
        InputError: if sizes do not agree.
    """
    whole = psnr(a, b)
    ms, ms_in, ms_out = ms_ssim_regions(a.y, b.y, mask)
    if mask is None:
        return Quality(*[*whole, ms, *[float("nan")] * 9])
    region = psnr_regions(a, b, mask)
    weighted_ms = ROI_WEIGHT * ms_in + (1 - ROI_WEIGHT) * ms_out
    if np.isnan(weighted_ms):
        weighted_ms = ms
    return Quality(*[*whole, ms, *astuple(region), ms_in, ms_out, weighted_ms])


def mean_quality(frames: Iterable[Quality]) -> Quality:
    """The mean of every measure over the frames in which it is defined.

    Raises:
        InputError: if there are no frames.
    """
    rows: Sequence[Quality] = list(frames)
    if not rows:
        raise InputError("no frames to compare")
    means = []
    for field in fields(Quality):
        values = np.array([getattr(row, field.name) for row in rows])
        known = values[~np.isnan(values)]
        means.append(float(known.mean()) if len(known) else float("nan"))
    return Quality(*means)
