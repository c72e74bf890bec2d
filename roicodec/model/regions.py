"""Which positions of a frame belong to which region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.model.networks import PHASES
from roicodec.model.shapes import Box, box_around

__all__ = ["Layout", "Part"]


@dataclass(frozen=True)
class Part:
    """One region of a frame.

    Attributes:
        bits: its bit-width, 2..16.
        roi: whether it is the ROI.
        where: raster positions at 1/8, int64 ``[N]``, ascending.
        phases: of each phase (:data:`~roicodec.model.networks.PHASES`) the places in ``where`` that
            have it, int64.
        box: rows and columns of the layout's field that hold the part and its neighbours.
        inside: of ``where``, raster positions in the box, int64 ``[N]``.
    """

    bits: int
    roi: bool
    where: Tensor
    phases: tuple[Tensor, ...]
    box: Box
    inside: Tensor


class Layout:
    """The regions of a frame that are computed, position by position at 1/8.

    Args:
        mask: ROI on the padded frame's 16x16 grid, bool ``[h, w]``.
        b_roi, b_bg: bit-widths; a region at 0 is skipped: it has no part, and reads as zeros.
        device: of the networks.
        skip: cells of either region that are skipped too, bool ``[h, w]``; None for none.

    Attributes:
        mask: as given.
        height, width: of the frame, in positions.
        roi: the mask, position by position, bool ``[height * width]``.
        positions: raster positions of all parts, int64 ``[N]``, ascending.
    """

    def __init__(
        self,
        mask: NDArray[np.bool_],
        b_roi: int,
        b_bg: int,
        device: torch.device,
        skip: NDArray[np.bool_] | None = None,
    ) -> None:
        self.mask = mask
        self.height, self.width = (2 * n for n in mask.shape)
        self.roi = _finer(mask)
        kept = np.ones_like(mask) if skip is None else ~skip
        self.parts: list[Part] = []
        regions = [
            (bits, roi, cells)
            for bits, roi in ((b_roi, True), (b_bg, False))
            if bits and (cells := (mask == roi) & kept).any()
        ]
        boxes = [box_around(cells) for _, _, cells in regions]
        self._field = _union(boxes)
        self._placed: list[Tensor] = []
        computed = np.zeros(self.roi.shape, np.bool_)
        for (bits, roi, cells), (rows, columns) in zip(regions, boxes, strict=True):
            where = np.flatnonzero(_finer(cells))
            row, column = np.divmod(where, self.width)
            phase = PHASES[row % 2, column % 2]
            arrays = (
                where,
                _raster(row, column, (rows, columns)),
                _raster(row, column, self._field),
                *(np.flatnonzero(phase == p) for p in range(PHASES.size)),
            )
            at, inside, placed, *phases = (torch.from_numpy(a).to(device) for a in arrays)
            box = _less(rows, self._field[0].start), _less(columns, self._field[1].start)
            self.parts.append(Part(bits, roi, at, tuple(phases), box, inside))
            self._placed.append(placed)
            computed[where] = True
        self._whole = len(self.parts) == 1 and bool(computed.all())
        self._computed = torch.from_numpy(computed).to(device)
        self.positions = np.flatnonzero(computed)
        rank = torch.from_numpy(np.cumsum(computed) - 1).to(device)
        self._ranks = [rank[part.where] for part in self.parts]

    def field(self, rows: list[Tensor]) -> Tensor:
        """Put the parts' rows ``[N, C]`` in the smallest box that holds all their neighbours, too,
        ``[h, w, C]``; zeros elsewhere."""
        shape = tuple(span.stop - span.start for span in self._field)
        if self._whole:
            return rows[0].view(*shape, -1)
        return _filled(rows, self._placed, shape[0] * shape[1]).view(*shape, -1)

    def around(self, field: Tensor, part: Part) -> Tensor:
        """A part's box of a field, contiguous."""
        return field[part.box].contiguous()

    def inside(self, box: Tensor, part: Part) -> Tensor:
        """A part's rows from its box."""
        rows = box.reshape(-1, box.shape[-1])
        return rows if self._whole else rows.index_select(0, part.inside)

    def frame(self, rows: list[Tensor]) -> Tensor:
        """Put the parts' rows ``[N, C]`` in raster order, ``[H * W, C]``; zeros elsewhere."""
        if self._whole:
            return rows[0]
        return _filled(rows, [part.where for part in self.parts], len(self.roi))

    def of(self, frame: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of :attr:`positions` from raster order: a copy, or the frame itself where they are
        all of it."""
        return frame if len(self.positions) == len(frame) else frame[self.positions]

    def ordered(self, rows: list[Tensor]) -> Tensor:
        """Put the parts' rows in the order of :attr:`positions`."""
        return rows[0] if len(rows) == 1 else _filled(rows, self._ranks, len(self.positions))

    def take(self, frame: Tensor, part: Part) -> Tensor:
        """A part's rows from raster order: a copy, or the frame itself where it is all of it."""
        return frame if self._whole else frame.index_select(0, part.where)

    def rows(self, frame: Tensor) -> list[Tensor]:
        """Take each part's rows from raster order."""
        return [self.take(frame, part) for part in self.parts]

    def computed(self) -> NDArray[np.bool_]:
        """Cells of any part, ``[h, w]``."""
        flat: NDArray[np.bool_] = self._computed.numpy(force=True)
        return flat.reshape(self.height, self.width)[::2, ::2]

    def merged(self, made: Tensor, kept: Tensor) -> Tensor:
        """Raster ``[H * W, C]``: ``made`` where something was computed, else ``kept``."""
        return torch.where(self._computed[:, None], made.to(kept.dtype), kept)


def _filled(rows: list[Tensor], places: list[Tensor], count: int) -> Tensor:
    """Rows ``[N, C]`` put at their places in ``[count, C]`` zeros."""
    first = rows[0]
    shape = count, first.shape[1]
    full = sum(map(len, rows)) == count
    out = first.new_empty(shape) if full else first.new_zeros(shape)
    # Copying a row of bytes is many times faster as a row of wide words.
    wide = shape[1] * first.element_size() % 8 == 0
    to = out.view(torch.int64) if wide else out
    for some, place in zip(rows, places, strict=True):
        to.index_copy_(0, place, some.contiguous().view(torch.int64) if wide else some)
    return out


def _raster(row: NDArray[np.int64], column: NDArray[np.int64], box: Box) -> NDArray[np.int64]:
    """Raster positions in a box."""
    rows, columns = box
    width = columns.stop - columns.start
    return np.asarray((row - rows.start) * width + column - columns.start, np.int64)


def _union(boxes: list[Box]) -> Box:
    if not boxes:
        return slice(0, 0), slice(0, 0)
    rows, columns = zip(*boxes, strict=True)
    return _hull(rows), _hull(columns)


def _hull(spans: tuple[slice, ...]) -> slice:
    return slice(min(s.start for s in spans), max(s.stop for s in spans))


def _less(span: slice, start: int) -> slice:
    return slice(span.start - start, span.stop - start)


def _finer(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A map of cells, position by position in raster order."""
    return cells.repeat(2, 0).repeat(2, 1).ravel()
