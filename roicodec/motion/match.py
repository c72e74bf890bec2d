"""Differences between blocks of a frame and displaced blocks of its reference."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from roicodec.entropy import Ints
from roicodec.picture import Plane

__all__ = ["UNIT", "Matcher"]

UNIT = 16
"""Side of a unit in luma samples."""

_TAPS = ((0, 0, 0, 64, 0, 0, 0, 0), (-1, 4, -10, 58, 17, -5, 1, 0),
         (-1, 4, -11, 40, 40, -11, 4, -1), (0, 1, -5, 17, 58, -10, 4, -1))  # fmt: skip
_MARGIN = UNIT + 8

_EVEN_BYTES = np.uint64(0x00FF00FF00FF00FF)
_ONES = np.uint64(0x0001000100010001)
_EIGHT = np.uint64(8)
_TOP = np.uint64(48)


class Matcher:
    """Sums of absolute differences in luma, at quarter-sample displacements.

    The reference is interpolated once at all 16 positions, with the filters of the compensation
    (:mod:`roicodec.model.warp`); the rounding of exact halves may differ from it, which only a
    search may afford.

    Args:
        current, reference: luma, uint8 ``[H, W]``, sides multiples of 16.
    """

    def __init__(self, current: Plane, reference: Plane) -> None:
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

    def predicted(self, units: NDArray[np.int64], vectors: Ints) -> NDArray[np.uint8]:
        """Displaced reference ``[N, 16, 16]`` of unit numbers ``[N]`` and vectors ``[N, 2]``."""
        whole = self._corner[units] + (vectors >> 2)
        at = np.clip(whole, 4 - _MARGIN, self._limit - 4) + _MARGIN
        phase = (vectors[:, 0] & 3) + 4 * (vectors[:, 1] & 3)
        out: NDArray[np.uint8] = self._windows[phase, at[:, 1], at[:, 0]]
        return out

    def sad(self, units: NDArray[np.int64], vectors: Ints) -> Ints:
        """Sums of absolute differences of each unit's 8x8 blocks, in raster order, ``[N, 4]``."""
        n = len(units)
        if not n:
            return np.zeros((0, 4), np.int32)
        predicted = self.predicted(units, vectors).reshape(-1, UNIT)
        difference = cv2.absdiff(predicted, self._current[units].reshape(-1, UNIT))
        eights = np.ascontiguousarray(difference).view(np.uint64).reshape(n, 2, 8, 2)
        pairs = (eights & _EVEN_BYTES) + ((eights >> _EIGHT) & _EVEN_BYTES)
        for half in (4, 2, 1):
            pairs = pairs[:, :, :half] + pairs[:, :, half:]
        sums = (pairs * _ONES) >> _TOP
        out: Ints = sums.reshape(n, 4).astype(np.int32)
        return out
