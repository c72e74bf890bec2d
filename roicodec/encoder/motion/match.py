"""Prices of predicting blocks of a frame by displaced blocks of its reference."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.entropy import Ints
from roicodec.picture import Plane

__all__ = ["UNIT", "Matcher"]

UNIT = 16
"""Side of a unit in luma samples."""

_TAPS = ((0, 0, 0, 64, 0, 0, 0, 0), (-1, 4, -10, 58, 17, -5, 1, 0),
         (-1, 4, -11, 40, 40, -11, 4, -1), (0, 1, -5, 17, 58, -10, 4, -1))  # fmt: skip
_MARGIN = UNIT + 8

_ROWS = 512
"""Units at a time whose temporaries stay in the cache."""

_STEEP = 17.3
"""A coefficient of c steps is priced 0.5 log2(1 + 17.3 c^2) bits: what its square is worth while
it is quantized to zero (12.5 bits for a squared step, as in the choice of symbols), a bit for every
doubling when it is large."""


class Matcher:
    """Estimated bits of the luma residual after prediction, at quarter-sample displacements.

    Blocks are priced as if their neighbours did not overlap them. The reference is interpolated
    once at all 16 positions, with the filters of :mod:`roicodec.decoder.compensation`;
    the rounding of exact halves may differ from it, which only a search may afford.

    Args:
        current, reference: luma, uint8 ``[H, W]``, sides multiples of 16.
        step: quantizer step of the residual's coefficients, in sample values.
    """

    def __init__(self, current: Plane, reference: Plane, step: float) -> None:
        height, width = current.shape
        self._limit = np.array((width + _MARGIN - UNIT, height + _MARGIN - UNIT))
        wide = np.pad(reference, _MARGIN, mode="edge")
        kernels = [np.array(taps, np.float32) / 64 for taps in _TAPS]
        phases = np.empty((16, *wide.shape), np.uint8)
        phases[0] = wide
        for phase in range(1, 16):
            cv2.sepFilter2D(
                wide, cv2.CV_8U, kernels[phase % 4], kernels[phase // 4], phases[phase], (3, 3)
            )
        self._windows = sliding_window_view(phases, (UNIT, UNIT), axis=(1, 2))
        rows, columns = height // UNIT, width // UNIT
        units = current.reshape(rows, UNIT, columns, UNIT).swapaxes(1, 2)
        self._current = np.ascontiguousarray(units).reshape(-1, UNIT, UNIT)
        row, column = np.divmod(np.arange(rows * columns), columns)
        self._corner = np.stack([column, row], 1) * UNIT
        self._transform = _dct() * (_STEEP**0.5 / step)

    def predicted(self, units: NDArray[np.int64], vectors: Ints) -> NDArray[np.uint8]:
        """Displaced reference ``[N, 16, 16]`` of unit numbers ``[N]`` and vectors ``[N, 2]``."""
        whole = self._corner[units] + (vectors >> 2)
        at = np.clip(whole, 4 - _MARGIN, self._limit - 4) + _MARGIN
        phase = (vectors[:, 0] & 3) + 4 * (vectors[:, 1] & 3)
        out: NDArray[np.uint8] = self._windows[phase, at[:, 1], at[:, 0]]
        return out

    def bits(self, units: NDArray[np.int64], vectors: Ints) -> NDArray[np.float32]:
        """Price of each unit's 8x8 blocks, in raster order, ``[N, 4]``: about the bits that their
        residual takes, what it costs in distortion included."""
        parts = [
            self._bits(units[start : start + _ROWS], vectors[start : start + _ROWS])
            for start in range(0, len(units), _ROWS)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, 4), np.float32)

    def _bits(self, units: NDArray[np.int64], vectors: Ints) -> NDArray[np.float32]:
        residual = self.predicted(units, vectors).astype(np.float32) - self._current[units]
        blocks = residual.reshape(-1, 2, 8, 2, 8).swapaxes(2, 3).reshape(-1, 64)
        energy = (torch.from_numpy(blocks) @ self._transform).square_().add_(1)
        # The bits of a float32 are, as an integer, its logarithm but for a small error.
        logarithms = energy.view(torch.int32).sum(1, dtype=torch.int64)
        total = logarithms.numpy() * 2.0**-23 - 127 * 64
        return np.asarray(0.5 * total, np.float32).reshape(-1, 4)


@cache
def _dct() -> Tensor:
    """The orthonormal DCT-II of a flattened 8x8 block, one coefficient a column, ``[64, 64]``."""
    place, frequency = np.arange(8)[:, None] + 0.5, np.arange(8)
    basis = np.cos(np.pi / 8 * place * frequency) * np.where(frequency, 0.5, 0.125**0.5)
    return torch.from_numpy(np.kron(basis, basis).astype(np.float32))
