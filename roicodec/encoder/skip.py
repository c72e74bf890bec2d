"""Cells of an inter frame that are better left as they are predicted.

After a trial without skip, a cell is skipped when what its latents win in distortion is not worth
their bits: the choice of mode by D + lambda R of Sullivan and Wiegand (IEEE Signal Processing
Magazine, 1998). The map's own bits are counted as a price on every pair of neighbours that differ,
minimized cell by cell on the two colours of a chessboard (iterated conditional modes; Besag, 1986).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import LUMA_CHANNELS, QUANTIZER_STEPS
from roicodec.bitstream.masks import Mask
from roicodec.decoder.frame import PreparedFrame
from roicodec.decoder.planes import Packed

__all__ = [
    "SkipTrials",
    "cell_costs",
    "cell_errors",
    "cell_steps",
    "cell_sums",
    "early_skip",
    "skip_map",
]

_BORDER_BITS = 0.6
"""Bits of the map for each pair of neighbours of which one is skipped."""
_SWEEPS = 2
_EARLY_OCTAVES = np.arange(1.75, 12.5)
"""Energy of a cell's prediction error, logarithm to base 2, in squared quantizer steps."""
_EARLY_BITS = np.array([6, 15, 37, 89, 149, 182, 242, 326, 342, 351, 367])
_EARLY_REMAINDER = np.array(
    [0.95, 0.85, 0.775, 0.55, 0.333, 0.171, 0.091, 0.048, 0.024, 0.013, 0.007]
)
"""Mean bits of coding such a cell, and the share of its energy that is left."""
_CHROMA_WEIGHT = 5 / 3
"""Weight of a squared chroma error against a squared luma error, as in training."""


class SkipTrials:
    """Search for the cells of an inter frame to skip, better with every trial.

    Args:
        frame: of the first trial.
        target: packed samples, int16 ``[(H/8) (W/8), 96]``.
        lambda_: squared quantizer steps that a bit is worth.
    """

    def __init__(self, frame: PreparedFrame, target: Packed, lambda_: float) -> None:
        grid = frame.layout.mask.shape
        self._target, self._worth = target, lambda_ * cell_steps(frame) ** 2
        self._predicted = self._coded = cell_errors(frame.prediction, target, *grid)
        self._bits = np.zeros(grid)

    def after(self, frame: PreparedFrame, made: Packed, bits: NDArray[np.float64]) -> Mask:
        """The map after a trial, bool of the unpadded frame's grid. What this trial did not code
        keeps the figures of an earlier one.

        Args:
            frame: that was tried.
            made: packed samples of its reconstruction.
            bits: that the latents of every position took, ``[(H/8) (W/8)]``.
        """
        rows, columns = frame.layout.mask.shape
        computed = frame.layout.computed()
        errors = cell_errors(made, self._target, rows, columns)
        took = cell_sums(bits, rows, columns)
        self._coded = np.where(computed, errors, self._coded)
        self._bits = np.where(computed, took, self._bits)
        found = skip_map(self._predicted, self._coded, self._bits, self._worth)
        height, width = frame.setting.mask.shape
        return found[:height, :width]


def early_skip(frame: PreparedFrame, target: Packed, lambda_: float) -> Mask:
    """Cells to skip without any trial, bool of the unpadded frame's grid.

    Bits and error of coding a cell are taken to be the means of cells with as much energy of
    prediction error (``studies/early_skip.py``).

    Args:
        frame: an inter frame, prepared without skip map.
        target: packed samples of its original.
        lambda_: squared quantizer steps that a bit is worth.
    """
    grid = frame.layout.mask.shape
    unit = cell_steps(frame) ** 2
    energy = cell_errors(frame.prediction, target, *grid)
    octave = np.log2(np.maximum(energy / unit, 1e-9))
    coded = energy * np.interp(octave, _EARLY_OCTAVES, _EARLY_REMAINDER)
    bits = np.interp(octave, _EARLY_OCTAVES, _EARLY_BITS)
    height, width = frame.setting.mask.shape
    return skip_map(energy, coded, bits, lambda_ * unit)[:height, :width]


def cell_errors(made: Packed, target: Packed, rows: int, columns: int) -> NDArray[np.float64]:
    """Squared error of every 16x16 cell, chroma weighted, float64 ``[rows, columns]``.

    Args:
        made, target: packed samples, ``[2 rows * 2 columns, 96]``.
        rows, columns: of the padded frame's grid.
    """
    # Sums of 64 squares of 8 bits are exact in single precision.
    parts = np.split((made - target).astype(np.float32), [LUMA_CHANNELS], 1)
    luma, chroma = (np.einsum("ij,ij->i", p, p).astype(np.float64) for p in parts)
    return cell_sums(luma + _CHROMA_WEIGHT * chroma, rows, columns)


def cell_sums(positions: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """Sum of the four positions of every cell, float64 ``[2 rows * 2 columns]`` to
    ``[rows, columns]``."""
    return np.asarray(positions.reshape(rows, 2, columns, 2).sum((1, 3)))


def cell_steps(frame: PreparedFrame) -> NDArray[np.float64]:
    """Quantizer step of every cell in sample values, ``[rows, columns]``."""
    layout = frame.layout
    level = layout.level.reshape(layout.height, layout.width)[::2, ::2]
    return np.asarray(QUANTIZER_STEPS[frame.quality][level])


def cell_costs(
    frame: PreparedFrame,
    made: Packed,
    target: Packed,
    bits: NDArray[np.float64],
    lambda_: float,
) -> NDArray[np.float64]:
    """D + lambda R of every cell of a frame that was tried, ``[rows, columns]``.

    Args:
        frame: that was tried.
        made: packed samples of its reconstruction.
        target: packed samples of the picture.
        bits: that the latents of every position took, ``[(H/8) (W/8)]``.
        lambda_: squared quantizer steps that a bit is worth.
    """
    rows, columns = frame.layout.mask.shape
    errors = cell_errors(made, target, rows, columns)
    worth = lambda_ * cell_steps(frame) ** 2
    return errors + worth * cell_sums(bits, rows, columns)


def skip_map(
    predicted: NDArray[np.float64],
    coded: NDArray[np.float64],
    bits: NDArray[np.float64],
    bit_worth: NDArray[np.float64],
) -> Mask:
    """Cells to skip, bool ``[rows, columns]``.

    Args:
        predicted, coded: squared errors of the prediction, and of the trial's reconstruction.
        bits: that the cell's latents took.
        bit_worth: squared error that a bit is worth in each cell.
    """
    saved = bits + (coded - predicted) / bit_worth
    skip = saved >= 0
    row, column = np.indices(skip.shape)
    for turn in range(2 * _SWEEPS):
        around = np.pad(skip.astype(np.float64), 1, "edge")
        sides = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
        better = saved + _BORDER_BITS * (sides - 2) >= 0
        skip = np.where((row + column) % 2 == turn % 2, better, skip)
    return skip
