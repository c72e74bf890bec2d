"""Which positions of a frame belong to which region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.constants import PHASES
from roicodec.decoder.shapes import Box, box_around

__all__ = ["Layout", "Part", "RegionQuality", "finer"]


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
        box: rows and columns of the layout's field that hold the part and its neighbours.
        inside: raster positions of its rows in the box, int64 ``[N]``.
    """

    bits: int
    roi: bool
    rows: slice
    box: Box
    inside: Tensor


class Layout:
    """The regions of a frame that are computed, position by position at 1/8.

    Networks work on a row for each position of the parts: part after part, each in raster order.

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
        phases: for each phase (:data:`~roicodec.networks.frame_net.PHASES`), which of the
            :meth:`phased` rows have it in each part, with whether that is ROI.
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
        self.roi = finer(mask)
        kept = np.ones_like(mask) if skip is None else ~skip
        self.parts: list[Part] = []
        regions = [
            (bits, roi, cells)
            for bits, roi in ((b_roi, True), (b_bg, False))
            if bits and (cells := (mask == roi) & kept).any()
        ]
        boxes = [box_around(cells) for _, _, cells in regions]
        self._field = _union(boxes)
        order: list[NDArray[np.int64]] = []
        placed: list[NDArray[np.int64]] = []
        phased: list[list[NDArray[np.int64]]] = [[] for _ in range(PHASES.size)]
        start = 0
        for (bits, roi, cells), (rows, columns) in zip(regions, boxes, strict=True):
            where = np.flatnonzero(finer(cells))
            row, column = np.divmod(where, self.width)
            inside = torch.from_numpy(_raster(row, column, (rows, columns))).to(device)
            box = _less(rows, self._field[0].start), _less(columns, self._field[1].start)
            self.parts.append(Part(bits, roi, slice(start, start + len(where)), box, inside))
            phase = PHASES[row % 2, column % 2]
            for p, places in enumerate(phased):
                places.append(start + np.flatnonzero(phase == p))
            order.append(where)
            placed.append(_raster(row, column, self._field))
            start += len(where)
        self.phases = self._spans(phased)
        joined = np.concatenate([np.zeros(0, np.int64), *order])
        by_phase = np.concatenate([np.zeros(0, np.int64), *(a for p in phased for a in p)])
        computed = np.zeros(self.roi.shape, np.bool_)
        computed[joined] = True
        self._whole = len(self.parts) == 1 and bool(computed.all())
        self.positions = np.flatnonzero(computed)
        # Where the phased rows of all positions are, in raster order.
        back = np.empty(self.roi.shape, np.int64)
        back[joined[by_phase]] = np.arange(start)
        arrays = joined, by_phase, back[self.positions], computed
        self._order, self._by_phase, self._back, self._computed = (
            torch.from_numpy(a).to(device) for a in arrays
        )
        self._placed = [torch.from_numpy(a).to(device) for a in placed]

    def _spans(self, phased: list[list[NDArray[np.int64]]]) -> list[list[tuple[bool, slice]]]:
        found, start = [], 0
        for places in phased:
            spans = []
            for part, own in zip(self.parts, places, strict=True):
                spans.append((part.roi, slice(start, start + len(own))))
                start += len(own)
            found.append(spans)
        return found

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

    def rows(self, frame: Tensor) -> Tensor:
        """Rows from raster order: a copy, or the frame itself where they are all of it."""
        return frame if self._whole else frame.index_select(0, self._order)

    def frame(self, rows: Tensor) -> Tensor:
        """Put rows in raster order, ``[H * W, C]``; zeros elsewhere."""
        return rows if self._whole else _filled([rows], [self._order], len(self.roi))

    def phased(self, rows: Tensor) -> Tensor:
        """Rows phase by phase, in each phase part by part."""
        return rows.index_select(0, self._by_phase)

    def ordered(self, phased: Tensor) -> Tensor:
        """Put phased rows in the order of :attr:`positions`."""
        return phased.index_select(0, self._back)

    def of(self, frame: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of :attr:`positions` from raster order: a copy, or the frame itself where they are
        all of it."""
        return frame if len(self.positions) == len(frame) else frame[self.positions]

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


def finer(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A map of cells, position by position in raster order."""
    return cells.repeat(2, 0).repeat(2, 1).ravel()
