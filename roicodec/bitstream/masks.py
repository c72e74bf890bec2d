"""ROI masks on the 16x16 grid, and their conversion from and to samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import CELL

__all__ = ["Mask", "cells_of", "computed_cells", "grid_shape", "samples_of"]

Mask = NDArray[np.bool_]


def grid_shape(width: int, height: int) -> tuple[int, int]:
    """Rows and columns of the grid over a frame; the last ones may stick out of it."""
    return -(-height // CELL), -(-width // CELL)


def cells_of(samples: Mask) -> Mask:
    """Mask of luma samples, bool ``[H, W]``, on the grid ``[ceil(H/16), ceil(W/16)]``.

    A cell is ROI when **any** of its samples is, so that none is left out; x264 and x265 treat
    the rectangles of ``addroi`` alike.
    """
    height, width = samples.shape
    rows = np.logical_or.reduceat(samples, np.arange(0, height, CELL), axis=0)
    return np.logical_or.reduceat(rows, np.arange(0, width, CELL), axis=1)


def computed_cells(mask: Mask, skip: Mask | None, b_roi: int, b_bg: int) -> Mask:
    """Cells that networks compute, bool of the mask's shape.

    Args:
        mask: ROI.
        skip: skipped cells, of the same shape; None for none.
        b_roi, b_bg: bit-widths of the ROI and of the rest; 0 is skipped.
    """
    cells = np.where(mask, b_roi > 0, b_bg > 0)
    return cells if skip is None else cells & ~skip


def samples_of(mask: Mask, width: int, height: int, cell: int = CELL) -> Mask:
    """Spread a grid mask over the samples of a plane: bool ``[height, width]``.

    Args:
        mask: bool ``[rows, columns]``.
        width, height: size of the plane; cells beyond it are cut off.
        cell: side of a cell in samples of that plane: 16 for luma, 8 for 4:2:0 chroma, 2 for
            one vector per 8x8 block.
    """
    wide = np.repeat(mask, cell, axis=1)[:, :width]
    return np.repeat(wide, cell, axis=0)[:height]
