"""Ten numbers that describe a region of a frame, for choosing its bit-width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import BLOCK, CELL
from roicodec.bitstream.masks import Mask, samples_of
from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation
from roicodec.picture import Picture

__all__ = ["FEATURES", "Features", "region_features", "region_sums"]

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
    out = np.zeros((2, 2))
    sums = region_sums(np.ascontiguousarray(plane), mask, cell).tolist()
    for row, (size, total, squares, steepness) in enumerate(sums):
        if size:
            part = 1 / size
            mean = total * part
            out[row] = max(squares * part - mean * mean, 0) ** 0.5, steepness / (size * _FINE)
    return out


# --- reference ----------------------------------------------------------------------------------


def _region_sums(plane: NDArray[Any], mask: Mask, cell: int) -> NDArray[np.int64]:
    height, width = plane.shape
    wide = np.pad(plane.astype(np.int32), 1, mode="edge")
    across = (wide[1:-1, 2:] - wide[1:-1, :-2]).astype(np.float32)
    down = (wide[2:, 1:-1] - wide[:-2, 1:-1]).astype(np.float32)
    steepness = np.rint(np.sqrt(across * across + down * down) * np.float32(_FINE / 2))
    roi = samples_of(mask, width, height, cell).astype(np.bool_)
    out = np.zeros((2, 4), np.int64)
    for row, region in enumerate((roi, ~roi)):
        own = plane[region].astype(np.int64)
        slopes = int(steepness[region].astype(np.int64).sum())
        out[row] = len(own), own.sum(), (own * own).sum(), slopes
    return out


# --- native -------------------------------------------------------------------------------------


def _native_region_sums(plane: NDArray[Any], mask: Mask, cell: int) -> NDArray[np.int64]:
    height, width = plane.shape
    rows, columns = mask.shape
    if cell < 1 or not min(height, width) or height > rows * cell or width > columns * cell:
        raise ValueError(f"a plane {plane.shape} of {mask.shape} cells of {cell}")
    words = plane.dtype != np.uint8
    own = np.ascontiguousarray(mask)
    out = np.empty((2, 4), np.int64)
    if function("rq_region_sums", "pillpllp", "i")(
        address(plane, np.int16 if words else np.uint8), int(words), height, width,
        address(own, np.bool_), columns, cell, address(out, np.int64),
    ):  # fmt: skip
        raise MemoryError("no memory for a row of gradients")
    return out


# --- operation ----------------------------------------------------------------------------------


def _probe(form: Callable[[NDArray[Any], Mask, int], NDArray[np.int64]]) -> Arrays:
    y, x = np.indices((13, 37))
    mask = (np.arange(10) % 3 == 0).reshape(2, 5)
    for plane in ((x * y * 31 + x) % 256, np.where(x % 3, 255, 0)):
        yield form(plane.astype(np.uint8), mask, 8)
    yield form(((x * y * 977) % 4095 - 2047).astype(np.int16), mask, 8)


region_sums = Operation("sums of regions", _region_sums, _native_region_sums, _probe, 0xC717E771)
"""Number of samples, sum of them, of their squares and of their gradient magnitudes, of the ROI and
of the rest, int64 ``[2, 4]``. Magnitudes are of differences over two samples, the edge repeated, in
1/16384, each rounded.

Args:
    plane: uint8, or int16 within 2047 of 0, ``[H, W]``, contiguous, not empty.
    mask: bool ``[>= H / cell, >= W / cell]``.
    cell: samples of a cell's side.
"""
