"""Ten numbers that describe a region of a frame, for choosing its bit-width."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import BLOCK, CELL
from roicodec.bitstream.masks import Mask, samples_of
from roicodec.picture import Picture

__all__ = ["FEATURES", "Features", "region_features"]

FEATURES = (
    "sigma_y",
    "sigma_u",
    "sigma_v",
    "gradient_y",
    "gradient_u",
    "gradient_v",
    "sigma_dx",
    "sigma_dy",
    "gradient_dx",
    "gradient_dy",
)
"""Names of the numbers, in order."""

Features = NDArray[np.float64]

_STRIP = 64  # Rows at a time: gradients of a whole plane would not stay in the cache.
_FINE = 16384
"""Steps that gradients of 1 are counted in: sums of integers are the same in any order, and so
on any processor and wherever memory lies."""
_QUARTERS = 4


def region_features(
    picture: Picture, vectors: NDArray[np.int16] | None, mask: Mask
) -> NDArray[np.float64]:
    """Features of the ROI (row 0) and the non-ROI (row 1) of a frame, float64 ``[2, 10]``.

    Standard deviation (of the population) and mean gradient magnitude over all samples of the
    region taken together, of Y, U, V (in 8-bit levels; chroma at its own resolution) and of the
    horizontal and vertical motion (in luma samples, one value per 8x8 block). The gradient of f
    has central differences, ``(f(x+1) - f(x-1)) / 2`` and the same in y, over the whole frame, so
    across region borders, too; beyond the frame its edge is repeated. Blocks that only exist to
    pad the frame do not count.

    Args:
        picture: the frame.
        vectors: int16 ``[>= ceil(H/8), >= ceil(W/8), 2]``, (dx, dy) in quarter luma samples;
            ``None`` for an intra frame, whose motion numbers are 0.
        mask: ROI, bool ``[ceil(H/16), ceil(W/16)]``.

    Returns:
        Numbers as :data:`FEATURES` names them; a region without samples has zeros.
    """
    out = np.zeros((2, len(FEATURES)))
    for channel, plane in enumerate(picture.planes):
        cell = CELL if channel == 0 else CELL // 2
        out[:, [channel, 3 + channel]] = _describe(plane, mask, cell)
    if vectors is not None:
        rows, columns = -(-picture.height // BLOCK), -(-picture.width // BLOCK)
        for component in range(2):
            field = vectors[:rows, :columns, component]
            quarters = _describe(field, mask, CELL // BLOCK)
            out[:, [6 + component, 8 + component]] = quarters / _QUARTERS
    return out


def _describe(plane: NDArray[Any], mask: Mask, cell: int) -> NDArray[np.float64]:
    """(sigma, gradient) of ROI and non-ROI, ``[2, 2]``."""
    height, width = plane.shape
    plane = np.ascontiguousarray(plane)
    roi = samples_of(mask, width, height, cell).astype(np.uint8)
    out = np.zeros((2, 2))
    for row, region in enumerate((roi, 1 - roi)):
        size = cv2.countNonZero(region)
        if size:
            out[row, 0] = cv2.meanStdDev(plane, mask=region)[1].item()
            out[row, 1] = 1 / (size * _FINE)
    total = np.zeros(2)
    for top in range(0, height, _STRIP):
        strip = slice(top, top + _STRIP)
        steepness = _steepness(plane, top, min(top + _STRIP, height))
        whole = cv2.sumElems(steepness)[0]
        # The ROI is 0 or 1, so that this is the sum within it.
        inside = cv2.sumElems(steepness * roi[strip])[0]
        total += inside, whole - inside
    out[:, 1] *= total
    return out


def _steepness(plane: NDArray[Any], top: int, bottom: int) -> NDArray[np.int32]:
    """Gradient magnitude of rows ``top`` to ``bottom``, in 1/16384, rounded."""
    first, last = max(top - 1, 0), min(bottom + 1, len(plane))
    rows = slice(top - first, bottom - first)
    slopes = (
        cv2.Sobel(
            plane[first:last], cv2.CV_32F, dx, 1 - dx, ksize=1, borderType=cv2.BORDER_REPLICATE
        )
        for dx in (1, 0)
    )
    across, down = (np.asarray(slope, np.float32)[rows] for slope in slopes)
    # Not cv2.magnitude: its last bit may depend on where memory lies.
    across *= across
    down *= down
    across += down
    np.sqrt(across, out=across)
    across *= _FINE / 2
    return np.rint(across, out=across).astype(np.int32)
