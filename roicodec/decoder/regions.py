"""Positions of a frame by region, and in the order in which networks compute them."""

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
        background: index of the background.
    """

    roi: int
    background: int

    def of(self, roi: bool) -> int:
        """The index of one region.

        Args:
            roi: whether that is the ROI.
        """
        return self.roi if roi else self.background

    @property
    def by_mask(self) -> list[int]:
        """Indices of background and ROI, to be indexed by the values 0 and 1 of a ROI mask."""
        return [self.background, self.roi]


@dataclass(frozen=True)
class Part:
    """A region with computed positions.

    Attributes:
        bits: bit-width, 2..8 or 16.
        roi: whether it is the ROI.
        rows: its rows among those of the layout.
    """

    bits: int
    roi: bool
    rows: slice


@dataclass(frozen=True, eq=False)
class Phase:
    """The computed positions of one phase (:data:`~roicodec.bitstream.constants.PHASES`).

    Attributes:
        rows: their rows, part by part, int64 ``[N]``.
        places: their indices in :attr:`Layout.positions`, int64 ``[N]``.
        parts: for each part, whether it is the ROI, and its slice of ``rows``.
    """

    rows: Places
    places: Places
    parts: list[tuple[bool, slice]]


class Layout:
    """Computed positions of a frame, at a stride of 8 luma samples.

    Networks have one row for each computed position: part after part, each in raster order.

    Args:
        mask: ROI on the padded frame's 16x16 grid, bool ``[h, w]``.
        b_roi, b_bg: bit-widths; a region at 0 is skipped and has no part.
        skip: skipped cells of either region, bool ``[h, w]``; None for none.

    Attributes:
        mask: as given.
        height, width: size of the frame in positions.
        roi: the mask by position, bool ``[height * width]``.
        parts: regions with computed positions, the ROI first.
        order: raster position of each row, int64 ``[N]``.
        positions: the same, ascending.
        whole: whether all positions are computed and rows are in raster order.
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
        """Computed positions of each phase."""
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

    def computed(self) -> NDArray[np.bool_]:
        """Computed cells, bool ``[h, w]``."""
        return self._computed.reshape(self.height, self.width)[::2, ::2]

    def frame(self, rows: NDArray[_T]) -> NDArray[_T]:
        """Raster order of rows, ``[height * width, C]``; zeros where nothing is computed.

        Args:
            rows: ``[N, C]``.
        """
        if self.whole:
            return rows
        out = np.zeros((len(self.roi), rows.shape[1]), rows.dtype)
        out[self.order] = rows
        return out

    def merged(self, values: NDArray[_T], kept: NDArray[Any] | float) -> NDArray[_T]:
        """Values where something is computed, others elsewhere, ``[height * width, C]``.

        Args:
            values: raster order, ``[height * width, C]``.
            kept: the others, of the same shape or one number.
        """
        out: NDArray[_T] = np.where(self._computed[:, None], values, kept).astype(values.dtype)
        return out


def finer(cells: NDArray[_T]) -> NDArray[_T]:
    """Map of positions in raster order, ``[2 h * 2 w]``.

    Args:
        cells: map of cells, ``[h, w]``.
    """
    return cells.repeat(2, 0).repeat(2, 1).ravel()
