"""Positions of a frame by region, and in the order in which networks compute them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import MAP_STEP, MAX_QUALITY, PHASES

__all__ = ["Band", "Layout", "Level", "Part", "Phase", "Qualities", "finer"]

Places = NDArray[np.int64]

Qualities = NDArray[np.int64]
"""Quality indices, 0..63, of a layout's levels, ``[L]``."""

_T = TypeVar("_T", bound=np.generic)


class Level(NamedTuple):
    """Positions of one quality: a region, and an offset of the quality map.

    Attributes:
        roi: whether it is the ROI.
        offset: of the map, in its steps.
    """

    roi: bool
    offset: int


@dataclass(frozen=True)
class Part:
    """Computed positions of one level.

    Attributes:
        level: its number in :attr:`Layout.levels`.
        rows: its rows among those of the layout.
    """

    level: int
    rows: slice


@dataclass(frozen=True)
class Band:
    """Computed positions of one region: its parts one after another.

    Attributes:
        bits: bit-width, 2..8 or 16.
        rows: its rows among those of the layout.
    """

    bits: int
    rows: slice


@dataclass(frozen=True, eq=False)
class Phase:
    """The computed positions of one phase (:data:`~roicodec.bitstream.constants.PHASES`).

    Attributes:
        rows: their rows, part by part, int64 ``[N]``.
        places: their indices in :attr:`Layout.positions`, int64 ``[N]``.
        parts: for each part, its level, and its slice of ``rows``.
    """

    rows: Places
    places: Places
    parts: list[tuple[int, slice]]


class Layout:
    """Computed positions of a frame, at a stride of 8 luma samples.

    Networks have one row for each computed position: part after part, each in raster order.

    Args:
        mask: ROI on the padded frame's 16x16 grid, bool ``[h, w]``.
        b_roi, b_bg: bit-widths; a region at 0 is skipped and has no part.
        skip: skipped cells of either region, bool ``[h, w]``; None for none.
        offsets: quality map, int8 ``[h, w]``; None where it is flat.

    Attributes:
        mask: as given.
        height, width: size of the frame in positions.
        levels: those outside the ROI and in it where the map is 0, then others that occur.
        level: number of each position's level, uint8 ``[height * width]``.
        parts: levels with computed positions, those of the ROI first.
        bands: the same by region.
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
        offsets: NDArray[np.int8] | None = None,
    ) -> None:
        self.mask = mask
        self.height, self.width = (2 * n for n in mask.shape)
        self.levels, cells = _levels(mask, offsets)
        self.level = finer(cells)
        kept = np.ones_like(mask) if skip is None else ~skip
        self.parts: list[Part] = []
        self.bands: list[Band] = []
        order, start = [np.zeros(0, np.int64)], 0
        for bits, roi in ((b_roi, True), (b_bg, False)):
            first = start
            for number, level in enumerate(self.levels if bits else ()):
                if level.roi == roi:
                    where = np.flatnonzero(finer((cells == number) & kept))
                    if len(where):
                        self.parts.append(Part(number, slice(start, start + len(where))))
                        order.append(where)
                        start += len(where)
            if start > first:
                self.bands.append(Band(bits, slice(first, start)))
        self.order: Places = np.concatenate(order)
        self._computed = np.zeros(self.level.shape, np.bool_)
        self._computed[self.order] = True
        self.positions: Places = np.flatnonzero(self._computed)
        self.whole = len(self.parts) == 1 and start == len(self.level)

    @cached_property
    def phases(self) -> list[Phase]:
        """Computed positions of each phase."""
        row, column = np.divmod(self.order, self.width)
        phase = PHASES[row % 2, column % 2]
        number = np.empty(len(self.level), np.int64)
        number[self.positions] = np.arange(len(self.positions))
        found = []
        for p in range(PHASES.size):
            own = [part.rows.start + np.flatnonzero(phase[part.rows] == p) for part in self.parts]
            ends = np.cumsum([0, *map(len, own)]).tolist()
            parts = [
                (part.level, slice(first, last))
                for part, first, last in zip(self.parts, ends[:-1], ends[1:], strict=True)
            ]
            rows = np.concatenate([np.zeros(0, np.int64), *own])
            found.append(Phase(rows, number[self.order[rows]], parts))
        return found

    def qualities(self, quality: int, of_roi: int, of_rest: int) -> Qualities:
        """Quality index of every level.

        Args:
            quality: of the frame.
            of_roi, of_rest: offsets of the regions' bit-widths.
        """
        found = [
            quality + (of_roi if level.roi else of_rest) + MAP_STEP * level.offset
            for level in self.levels
        ]
        return np.asarray(np.clip(found, 0, MAX_QUALITY), np.int64)

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
        out = np.zeros((len(self.level), rows.shape[1]), rows.dtype)
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


def _levels(
    mask: NDArray[np.bool_], offsets: NDArray[np.int8] | None
) -> tuple[list[Level], NDArray[np.uint8]]:
    """The levels of a frame, and the number of each cell's, uint8 ``[h, w]``."""
    levels = [Level(False, 0), Level(True, 0)]
    cells = mask.astype(np.uint8)
    if offsets is None:
        return levels, cells
    for offset in np.unique(offsets[offsets != 0]).tolist():
        for roi in (False, True):
            at = (offsets == offset) & (mask == roi)
            if at.any():
                cells[at] = len(levels)
                levels.append(Level(roi, offset))
    return levels, cells


def finer(cells: NDArray[_T]) -> NDArray[_T]:
    """Map of positions in raster order, ``[2 h * 2 w]``.

    Args:
        cells: map of cells, ``[h, w]``.
    """
    return cells.repeat(2, 0).repeat(2, 1).ravel()
