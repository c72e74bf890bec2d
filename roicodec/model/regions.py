"""Which positions of a frame belong to which region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.model.networks import PHASES

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
    """

    bits: int
    roi: bool
    where: Tensor
    phases: tuple[Tensor, ...]


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
        skipped = np.zeros_like(self.roi) if skip is None else _finer(skip)
        self.parts: list[Part] = []
        # Of every position, its place in the parts' rows one after another; the last is zeros.
        place = np.full(self.roi.size, -1)
        count = 0
        for bits, roi in ((b_roi, True), (b_bg, False)):
            where = np.flatnonzero((self.roi == roi) & ~skipped)
            if len(where) and bits:
                row, column = np.divmod(where, self.width)
                phase = PHASES[row % 2, column % 2]
                arrays = where, *(np.flatnonzero(phase == p) for p in range(PHASES.size))
                at, *phases = (torch.from_numpy(a).to(device) for a in arrays)
                self.parts.append(Part(bits, roi, at, tuple(phases)))
                place[where] = np.arange(count, count + len(where))
                count += len(where)
        self._whole = len(self.parts) == 1 and count == len(place)
        place[place < 0] = count
        self._place = torch.from_numpy(place).to(device)
        self._computed = self._place < count

    def frame(self, rows: list[Tensor]) -> Tensor:
        """Put the parts' rows ``[N, C]`` in raster order, ``[H * W, C]``; zeros elsewhere."""
        if self._whole:
            return rows[0]
        return torch.cat([*rows, torch.zeros_like(rows[0][:1])]).index_select(0, self._place)

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


def _finer(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A map of cells, position by position in raster order."""
    return cells.repeat(2, 0).repeat(2, 1).ravel()
