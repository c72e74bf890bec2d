"""Which rows of a frame belong to which region.

Positions at 1/16 resolution are the cells of the ROI mask; a position's four children at 1/8
follow each other, so that going between the two resolutions is a change of shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Layout", "Part"]


@dataclass(frozen=True)
class Part:
    """One region of a frame.

    Attributes:
        bits: its bit-width, 2..16.
        roi: whether it is the ROI.
        cells: raster positions at 1/16, int64 ``[N]``.
        children: raster positions at 1/8, int64 ``[4 N]``, four for each cell.
    """

    bits: int
    roi: bool
    cells: Tensor
    children: Tensor


class Layout:
    """The regions of a frame that are computed.

    Args:
        mask: ROI on the padded frame's 16x16 grid, bool ``[h, w]``.
        b_roi, b_bg: bit-widths; a region at 0 is skipped: it has no part, and reads as zeros.
        device: of the networks.
        skip: cells of either region that are skipped too, bool ``[h, w]``; None for none.
    """

    def __init__(
        self,
        mask: NDArray[np.bool_],
        b_roi: int,
        b_bg: int,
        device: torch.device,
        skip: NDArray[np.bool_] | None = None,
    ) -> None:
        self.height, self.width = mask.shape
        self.mask = mask
        self._device = device
        self.parts: list[Part] = []
        for bits, roi in ((b_roi, True), (b_bg, False)):
            cells = np.flatnonzero((mask == roi) & ~skip if skip is not None else mask == roi)
            if not len(cells) or not bits:
                continue
            row, column = np.divmod(cells, self.width)
            corner = (2 * row) * (2 * self.width) + 2 * column
            steps = np.array([0, 1, 2 * self.width, 2 * self.width + 1])
            children = (corner[:, None] + steps).ravel()
            self.parts.append(
                Part(bits, roi, *(torch.from_numpy(a).to(device) for a in (cells, children)))
            )

    def where(self, part: Part, fine: bool) -> Tensor:
        """Raster positions of a part at 1/8 (fine) or 1/16."""
        return part.children if fine else part.cells

    def frame(self, rows: list[Tensor], fine: bool) -> Tensor:
        """Put the parts' rows ``[N, C]`` in raster order, ``[H * W, C]``; zeros elsewhere."""
        area = self.height * self.width * (4 if fine else 1)
        out = torch.zeros((area, rows[0].shape[1]), dtype=rows[0].dtype, device=rows[0].device)
        for part, part_rows in zip(self.parts, rows, strict=True):
            out[self.where(part, fine)] = part_rows
        return out

    def computed(self) -> NDArray[np.bool_]:
        """Cells of any part, ``[h, w]``."""
        out = np.zeros(self.height * self.width, np.bool_)
        for part in self.parts:
            out[part.cells.numpy(force=True)] = True
        return out.reshape(self.height, self.width)

    def merged(self, made: Tensor, kept: Tensor) -> Tensor:
        """Raster ``[H * W, C]`` at 1/8: ``made`` where something was computed, else ``kept``."""
        out = kept.clone()
        for part in self.parts:
            out[part.children] = made[part.children].to(out.dtype)
        return out

    def rows(self, frame: Tensor, fine: bool) -> list[Tensor]:
        """Take each part's rows from raster order."""
        return [frame[self.where(part, fine)] for part in self.parts]

    def size(self, fine: bool) -> tuple[int, int]:
        """Height and width in positions."""
        return (2 * self.height, 2 * self.width) if fine else (self.height, self.width)
