"""Element-wise native kernels on rows of channels, numpy in and out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.kernels.integer import Quantize
from roicodec.kernels.native import address, function

__all__ = ["quantize"]


def quantize(rows: NDArray[np.int16], layer: Quantize) -> NDArray[np.uint8] | NDArray[np.int16]:
    """Codes of skeleton rows.

    Args:
        rows: int16 ``[N, C]``.
        layer: shifts and target grid.

    Returns:
        ``[N, C]``: uint8, integers minus the grid's lowest, for up to 8 bits; else int16 integers.
    """
    count, channels = rows.shape
    if channels != len(layer.shift):
        raise ValueError(f"{channels} channels where the layer has {len(layer.shift)}")
    down = np.maximum(layer.shift, 0).astype(np.int32)
    up = np.maximum(-layer.shift, 0).astype(np.int32)
    low, high = layer.target.low, layer.target.high
    source = address(rows, np.int16), address(down, np.int32), address(up, np.int32)
    if layer.target.bits <= 8:
        narrow = np.empty(rows.shape, np.uint8)
        function("rq_quantize_narrow", "ppppll" + "iii")(
            source[0], address(narrow, np.uint8), *source[1:], count, channels, low, high, -low
        )
        return narrow
    wide = np.empty(rows.shape, np.int16)
    function("rq_quantize_wide", "ppppll" + "ii")(
        source[0], address(wide, np.int16), *source[1:], count, channels, low, high
    )
    return wide
