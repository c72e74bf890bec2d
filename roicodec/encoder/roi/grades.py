"""Graded regions of interest: how much finer or coarser each cell is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import MAP_STEP
from roicodec.bitstream.masks import Mask

__all__ = ["Grade", "Graded", "grades_of", "wanted_offsets"]


@dataclass(frozen=True, eq=False)
class Grade:
    """Wish of a source for one frame.

    Attributes:
        values: float64 ``[ceil(H/16), ceil(W/16)]``; NaN where nothing is wished for.
        shares: whether values are shares, 0..1, of the way from the quality of the rest to that of
            the ROI; otherwise they are QPs by which a cell is finer, of x264's scale, six to a
            factor of 2 in the quantizer step.
    """

    values: NDArray[np.float64]
    shares: bool


@runtime_checkable
class Graded(Protocol):
    """A ROI source that can grade."""

    def grades(self) -> Sequence[Grade]:
        """Wishes for the frame whose mask was asked for last."""


def grades_of(source: object) -> tuple[Grade, ...]:
    """Wishes of a source for the frame whose mask was asked for last; none if it cannot grade."""
    return tuple(source.grades()) if isinstance(source, Graded) else ()


def wanted_offsets(
    grades: Sequence[Grade], mask: Mask, of_roi: int, of_rest: int
) -> NDArray[np.float64] | None:
    """Offsets of the quality map by which cells come to what is wished for, in its steps; of
    several wishes the finest. None where there is none.

    Args:
        grades: of the frame.
        mask: its ROI.
        of_roi, of_rest: quality offsets of the regions' bit-widths, in indices.
    """
    if not grades:
        return None
    wishes = [
        (of_rest + grade.values * (of_roi - of_rest)) / MAP_STEP if grade.shares else grade.values
        for grade in grades
    ]
    given = np.where(mask, of_roi, of_rest) / MAP_STEP
    finest = np.fmax.reduce(wishes)
    return np.where(np.isnan(finest), 0.0, finest - given)
