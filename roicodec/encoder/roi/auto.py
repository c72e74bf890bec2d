"""From saliency maps to ROI masks that do not flicker."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import CELL
from roicodec.bitstream.masks import Mask, grid_shape
from roicodec.encoder.roi.saliency import SaliencyMap, SaliencyModel
from roicodec.errors import InputError
from roicodec.picture import Picture

__all__ = ["DEFAULT_SHARE", "AutoRoi"]

DEFAULT_SHARE = 0.2
"""Share of the frame's area that ``auto`` makes ROI."""

_PULL = 0.35
_ENTER, _STAY = 0.9, 1.35
_LEVEL_STAY = 0.8
_MIN_AREA = 0.005
_CUT_CORRELATION = 0.15
_SUB = 4

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class AutoRoi:
    """``auto``: the ROI follows a saliency model.

    Maps are averaged to the grid and smoothed over time (exponential moving average, started
    anew at cuts); then a threshold with hysteresis (a cell that is ROI stays so until it falls
    clearly below), closing of gaps, and removal of specks and holes.

    Args:
        saliency: the model.
        width, height: size of the frames in luma samples.
        share: share of the area that becomes ROI, about, 0..1.
        level: instead of ``share``: smoothed saliency, 0..1, from which a cell becomes ROI.

    Raises:
        InputError: if ``share`` or ``level`` is out of range.
    """

    def __init__(
        self,
        saliency: SaliencyModel,
        width: int,
        height: int,
        *,
        share: float = DEFAULT_SHARE,
        level: float | None = None,
    ) -> None:
        if not 0 < share < 1:
            raise InputError(f"ROI share must be above 0 and below 1, not {share:g}")
        if level is not None and not 0 < level < 1:
            raise InputError(f"ROI level must be above 0 and below 1, not {level:g}")
        self._saliency = saliency
        self._size = width, height
        self._share = share
        self._level = level
        self._smooth: NDArray[np.float32] | None = None
        self._last = np.zeros(grid_shape(width, height), np.bool_)

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        previous = None if reference is None or _is_cut(picture, reference) else reference
        cells = self._to_cells(self._saliency.map(picture, previous))
        if previous is None or self._smooth is None:
            self._smooth = cells
            self._last = np.zeros_like(self._last)
        else:
            self._smooth = self._smooth + np.float32(_PULL) * (cells - self._smooth)
        self._last = _clean(self._threshold(self._smooth), self._last.size)
        return self._last.copy()

    def close(self) -> None:
        pass

    def _to_cells(self, saliency: SaliencyMap) -> NDArray[np.float32]:
        """Mean saliency of every cell; cells that stick out of the frame repeat its edge."""
        width, height = self._size
        rows, columns = self._last.shape
        step = CELL / _SUB
        sx, sy = saliency.shape[1] / width * step, saliency.shape[0] / height * step
        place = np.array([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5]])
        fine = cv2.warpAffine(
            saliency,
            place,
            (columns * _SUB, rows * _SUB),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(fine.reshape(rows, _SUB, columns, _SUB).mean((1, 3)), np.float32)

    def _threshold(self, smooth: NDArray[np.float32]) -> Mask:
        if self._level is not None:
            enter, stay = self._level, self._level * _LEVEL_STAY
        else:
            ranks = [max(0.0, 1 - self._share * factor) for factor in (_ENTER, _STAY)]
            enter, stay = (float(value) for value in np.quantile(smooth, ranks))
        return (smooth > enter) | ((smooth > stay) & self._last)


def _is_cut(picture: Picture, previous: Picture) -> bool:
    now, before = (
        cv2.resize(p.y, (64, 36), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
        for p in (picture, previous)
    )
    now -= now.mean()
    before -= before.mean()
    spread = math.sqrt(float(now @ now) * float(before @ before))
    return spread > 0 and float(now @ before) < _CUT_CORRELATION * spread


def _clean(mask: Mask, cells: int) -> Mask:
    """Close one-cell gaps; drop specks and fill holes below a minimum area."""
    least = max(2, round(_MIN_AREA * cells))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    closed = np.asarray(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _CROSS)[1:-1, 1:-1], np.bool_)
    return ~_large(~_large(closed, least), least)


def _large(mask: Mask, least: int) -> Mask:
    """Its connected parts (of 4 neighbours) of at least ``least`` cells."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    keep = stats[:, cv2.CC_STAT_AREA] >= least
    keep[0] = False
    return np.asarray(keep[labels], np.bool_)
