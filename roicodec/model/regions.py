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
        for bits, roi in ((b_roi, True), (b_bg, False)):
            where = np.flatnonzero((self.roi == roi) & ~skipped)
            if len(where) and bits:
                row, column = np.divmod(where, self.width)
                phase = PHASES[row % 2, column % 2]
                arrays = where, *(np.flatnonzero(phase == p) for p in range(PHASES.size))
                at, *phases = (torch.from_numpy(a).to(device) for a in arrays)
                self.parts.append(Part(bits, roi, at, tuple(phases)))

    def frame(self, rows: list[Tensor]) -> Tensor:
        """Put the parts' rows ``[N, C]`` in raster order, ``[H * W, C]``; zeros elsewhere."""
        shape = self.height * self.width, rows[0].shape[1]
        out = torch.zeros(shape, dtype=rows[0].dtype, device=rows[0].device)
        for part, part_rows in zip(self.parts, rows, strict=True):
            out[part.where] = part_rows
        return out

    def computed(self) -> NDArray[np.bool_]:
        """Cells of any part, ``[h, w]``."""
        out = np.zeros(self.height * self.width, np.bool_)
        for part in self.parts:
            out[part.where.numpy(force=True)] = True
        return out.reshape(self.height, self.width)[::2, ::2]

    def merged(self, made: Tensor, kept: Tensor) -> Tensor:
        """Raster ``[H * W, C]``: ``made`` where something was computed, else ``kept``."""
        out = kept.clone()
        for part in self.parts:
            out[part.where] = made[part.where].to(out.dtype)
        return out

    def rows(self, frame: Tensor) -> list[Tensor]:
        """Take each part's rows from raster order."""
        return [frame[part.where] for part in self.parts]


def _finer(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A map of cells, position by position in raster order."""
    return cells.repeat(2, 0).repeat(2, 1).ravel()
