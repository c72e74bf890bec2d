"""Cells of an inter frame without a match in its reference, coded as in an intra frame.

New content in a part of the picture (a window that opens, a wipe, what was hidden) is predicted by
something else altogether. Such cells are marked as H.264 marks intra macroblocks in P frames (ITU-T
H.264, 7.4.5): of their prediction only the mean of each block stays, and a learned vector tells the
networks instead of features. Cells whose luma has less energy around its own mean than around the
prediction are tried, and stay marked where the trial costs less by D + lambda R than one without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import LUMA_CHANNELS
from roicodec.bitstream.masks import Mask
from roicodec.decoder.frame import FrameSetting, PreparedFrame
from roicodec.decoder.planes import Packed
from roicodec.decoder.regions import finer
from roicodec.encoder.motion.search import filled
from roicodec.encoder.skip import cell_errors, cell_steps, cell_sums

__all__ = ["UNMATCHED_ENERGY", "UNMATCHED_RATIO", "unmatched_cells", "with_intra_cells"]

UNMATCHED_RATIO = 0.5
"""Energy around the mean over that around the prediction, below which a cell is tried."""
UNMATCHED_ENERGY = 64.0
"""Energy of a cell around its prediction, in squared quantizer steps, below which it is not tried:
a root mean square error of half a step, of which coding would leave a third."""
_LEAST = 1 / 32
"""Least share of all cells; fewer are not worth two trials."""


def with_intra_cells(
    frame: PreparedFrame,
    target: Packed,
    prepare: Callable[[FrameSetting], PreparedFrame],
    cost: Callable[[PreparedFrame], NDArray[np.float64]],
) -> PreparedFrame:
    """An inter frame with those cells intra-coded that a trial shows to be better off so.

    Args:
        frame: without intra-coded cells.
        target: packed samples, int16 ``[(H/8) (W/8), 96]``.
        prepare: the same frame by another setting.
        cost: of every cell in a trial, ``[H/16, W/16]``.
    """
    grid, (height, width) = frame.layout.mask.shape, frame.setting.mask.shape
    tried = unmatched_cells(frame.prediction, target, cell_steps(frame))
    tried = (tried & frame.layout.computed())[:height, :width]
    if tried.mean() < _LEAST:
        return frame
    skipped = cell_errors(frame.prediction, target, *grid)
    before = np.minimum(cost(frame), skipped)[:height, :width]
    after = cost(prepare(_with(frame, tried)))[:height, :width]
    kept = tried & (after < before)
    return prepare(_with(frame, kept)) if kept.any() else frame


def unmatched_cells(prediction: Packed, target: Packed, steps: NDArray[np.float64]) -> Mask:
    """Cells that are worth a trial, bool ``[rows, columns]``.

    Args:
        prediction, target: packed samples, int16 ``[2 rows * 2 columns, 96]``.
        steps: quantizer step of every cell, in sample values, ``[rows, columns]``.
    """
    luma = target[:, :LUMA_CHANNELS].astype(np.float64)
    around_prediction = np.square(luma - prediction[:, :LUMA_CHANNELS]).sum(1)
    around_mean = np.square(luma - luma.mean(1, keepdims=True)).sum(1)
    alone, beside = (cell_sums(e, *steps.shape) for e in (around_mean, around_prediction))
    large = beside > UNMATCHED_ENERGY * steps**2
    return np.asarray(large & (alone < UNMATCHED_RATIO * beside))


def _with(frame: PreparedFrame, unmatched: Mask) -> FrameSetting:
    """The frame's setting with some cells marked. Only their neighbours and their blocks' means
    depend on their vectors, so in frames with one reference they get the nearest that are in use.
    """
    motion = frame.setting.motion
    assert motion is not None
    if motion.future is None:
        blocks = np.zeros(motion.vectors.shape[:2], np.bool_)
        rows, columns = unmatched.shape
        fine = finer(unmatched).reshape(2 * rows, 2 * columns)
        blocks[: 2 * rows, : 2 * columns] = fine
        motion = replace(motion, vectors=filled(motion.vectors, blocks))
    return replace(frame.setting, unmatched=unmatched, motion=motion)
