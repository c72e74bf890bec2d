"""Which positions of a frame belong to which region."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import PHASES

__all__ = ["Layout", "Part", "Phase", "RegionQuality", "finer"]

Places = NDArray[np.int64]
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True)
class RegionQuality:
    """Quality indices, 0..63, of the two regions of a frame.

    Attributes:
        roi: index of the ROI.
        background: index of the rest.
    """

    roi: int
    background: int

    def of(self, roi: bool) -> int:
        """The index of the ROI or of the rest."""
        return self.roi if roi else self.background

    @property
    def by_mask(self) -> list[int]:
        """Both indices in the order in which a ROI mask, as 0 and 1, selects them."""
        return [self.background, self.roi]


@dataclass(frozen=True)
class Part:
    """One region of a frame.

    Attributes:
        bits: its bit-width, 2..16.
        roi: whether it is the ROI.
        rows: its own among the layout's rows.
    """

    bits: int
    roi: bool
    rows: slice


@dataclass(frozen=True, eq=False)
class Phase:
    """The computed positions that have one phase (:data:`~roicodec.bitstream.constants.PHASES`).

    Attributes:
        rows: their rows, part by part, int64 ``[N]``.
        places: where they are in :attr:`Layout.positions`, int64 ``[N]``.
        parts: which of ``rows`` are of each part, with whether that is the ROI.
    """

    rows: Places
    places: Places
    parts: list[tuple[bool, slice]]


class Layout:
    """The regions of a frame that are computed, position by position at 1/8.

    Networks work on a row for each position of the parts: part after part, each in raster order.

    Args:
        mask: ROI on the padded frame's 16x16 grid, bool ``[h, w]``.
        b_roi, b_bg: bit-widths; a region at 0 is skipped: it has no part, and reads as zeros.
        skip: cells of either region that are skipped too, bool ``[h, w]``; None for none.

    Attributes:
        mask: as given.
        height, width: of the frame, in positions.
        roi: the mask, position by position, bool ``[height * width]``.
        parts: regions with computed positions, the ROI first.
        order: raster position of each row, int64 ``[N]``.
        positions: the same, ascending.
        whole: whether rows are all positions in raster order.
    """

    def __init__(
        self,
        mask: NDArray[np.bool_],
        b_roi: int,
        b_bg: int,
        skip: NDArray[np.bool_] | None = None,
    ) -> None:
        self.mask = mask
        self.height, self.width = (2 * n for n in mask.shape)
        self.roi = finer(mask)
        kept = np.ones_like(mask) if skip is None else ~skip
        self.parts: list[Part] = []
        order, start = [np.zeros(0, np.int64)], 0
        for bits, roi in ((b_roi, True), (b_bg, False)):
            where = np.flatnonzero(finer((mask == roi) & kept)) if bits else order[0]
            if len(where):
                self.parts.append(Part(bits, roi, slice(start, start + len(where))))
                order.append(where)
                start += len(where)
        self.order: Places = np.concatenate(order)
        self._computed = np.zeros(self.roi.shape, np.bool_)
        self._computed[self.order] = True
        self.positions: Places = np.flatnonzero(self._computed)
        self.whole = len(self.parts) == 1 and start == len(self.roi)

    @cached_property
    def phases(self) -> list[Phase]:
        """For each phase the computed positions that have it."""
        row, column = np.divmod(self.order, self.width)
        phase = PHASES[row % 2, column % 2]
        number = np.empty(len(self.roi), np.int64)
        number[self.positions] = np.arange(len(self.positions))
        found = []
        for p in range(PHASES.size):
            own = [part.rows.start + np.flatnonzero(phase[part.rows] == p) for part in self.parts]
            ends = np.cumsum([0, *map(len, own)]).tolist()
            parts = [
                (part.roi, slice(first, last))
                for part, first, last in zip(self.parts, ends[:-1], ends[1:], strict=True)
            ]
            rows = np.concatenate([np.zeros(0, np.int64), *own])
            found.append(Phase(rows, number[self.order[rows]], parts))
        return found

    def of(self, frame: Places) -> Places:
        """Rows of :attr:`positions` from raster order: a copy, or the frame itself where they are
        all of it."""
        return frame if len(self.positions) == len(frame) else frame[self.positions]

    def computed(self) -> NDArray[np.bool_]:
        """Cells of any part, ``[h, w]``."""
        return self._computed.reshape(self.height, self.width)[::2, ::2]

    def frame(self, rows: NDArray[_T]) -> NDArray[_T]:
        """Put rows in raster order, ``[H * W, C]``; zeros elsewhere."""
        if self.whole:
            return rows
        out = np.zeros((len(self.roi), rows.shape[1]), rows.dtype)
        out[self.order] = rows
        return out

    def merged(self, values: NDArray[_T], kept: NDArray[Any] | float) -> NDArray[_T]:
        """Raster ``[H * W, C]``: ``values`` where something is computed, else ``kept``."""
        out: NDArray[_T] = np.where(self._computed[:, None], values, kept).astype(values.dtype)
        return out


def finer(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A map of cells, position by position in raster order."""
    return cells.repeat(2, 0).repeat(2, 1).ravel()
