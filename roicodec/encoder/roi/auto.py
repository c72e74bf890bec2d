"""ROI masks from saliency maps, without flicker."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import CELL
from roicodec.bitstream.masks import Mask, grid_shape
from roicodec.encoder.roi.saliency import SaliencyMap, SaliencyModel
from roicodec.encoder.roi.scene import is_cut, thumbnail
from roicodec.encoder.roi.share import Choice, worth
from roicodec.errors import InputError
from roicodec.picture import Picture

__all__ = ["AutoRoi"]

_LEAST, _MOST = 0.02, 0.5
"""Shares of the frame between which ``auto`` chooses."""
_SHARE_PULL, _SAVING_PULL = 0.6, 0.5
_WORTH_AT_FIRST, _WORTH, _STILL_WORTH = 0.12, 0.03, 0.0
"""Expected saving from which there is a ROI: in the first frame of a scene, where bits are guessed
from texture alone; then; and below which there is no longer one."""

_PULL = np.float32(0.8)
_STAY = 1.3
_LEVEL_STAY = 0.8
_MIN_AREA = 0.002
_SUB = 2
_EVERY, _AT_FIRST = 3, 3
"""Every so many frames are looked at, but all of the first."""

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class AutoRoi:
    """``auto``: the ROI follows a saliency model.

    Maps are averaged to the grid and smoothed over time (exponential moving average, started
    anew at cuts). The share of the frame is the one that is expected to save most; where hardly
    anything would be saved, since nothing stands out, no cell is ROI. Then a threshold with
    hysteresis (a cell that is ROI stays so until it falls clearly below), closing of gaps, and
    removal of specks and holes.

    Args:
        saliency: the model, used by nobody else; its maps are taken for the chance that a place
            matters.
        width, height: size of the frames in luma samples.
        share: share of the area that becomes ROI, about, 0..1, whatever is there.
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
        share: float | None = None,
        level: float | None = None,
    ) -> None:
        if share is not None and not 0 < share < 1:
            raise InputError(f"ROI share must be above 0 and below 1, not {share:g}")
        if level is not None and not 0 < level < 1:
            raise InputError(f"ROI level must be above 0 and below 1, not {level:g}")
        self._saliency = saliency
        self._size = width, height
        self._forced = share
        self._level = level
        self._smooth: NDArray[np.float32] | None = None
        self._last = np.zeros(grid_shape(width, height), np.bool_)
        self._choice: Choice | None = None
        self._active = False
        self._since = 0
        self._bits: NDArray[np.float32] | None = None
        self._thumbnail: NDArray[np.float64] | None = None

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        before, self._thumbnail = self._thumbnail, thumbnail(picture)
        if reference is None or before is None or is_cut(self._thumbnail, before):
            self._smooth, self._choice, self._active = None, None, False
            self._last = np.zeros_like(self._last)
            self._since = 0
        if self._since < _AT_FIRST or self._since % _EVERY == 0:
            self._look(picture, reference if self._since else None)
        self._since += 1
        return self._last.copy()

    def _look(self, picture: Picture, previous: Picture | None) -> None:
        cells = self._to_cells(self._saliency.map(picture, previous))
        if self._smooth is None:
            self._smooth = cells
        else:
            self._smooth = self._smooth + _PULL * (cells - self._smooth)
        self._bits = None if self._saliency.bits is None else self._to_cells(self._saliency.bits)
        self._last = _clean(self._threshold(self._smooth), self._last.size)

    @property
    def chances(self) -> NDArray[np.float32] | None:
        """The smoothed map behind the last mask, 0..1, on its grid; None before the first."""
        return self._smooth

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
            share = self._chosen_share(smooth) if self._forced is None else self._forced
            if share == 0:
                return np.zeros_like(self._last)
            ranks = [max(0.0, 1 - share * factor) for factor in (1, _STAY)]
            enter, stay = (float(value) for value in np.quantile(smooth, ranks))
        return (smooth > enter) | ((smooth > stay) & self._last)

    def _chosen_share(self, smooth: NDArray[np.float32]) -> float:
        """Share that is expected to save most, followed slowly; 0 where nothing stands out."""
        choice = worth(smooth, self._bits, _LEAST, _MOST)
        least = _STILL_WORTH if self._active else _WORTH if self._choice else _WORTH_AT_FIRST
        before = choice if self._choice is None else self._choice
        self._choice = Choice(
            before.share + _SHARE_PULL * (choice.share - before.share),
            before.saving + _SAVING_PULL * (choice.saving - before.saving),
        )
        self._active = self._choice.saving > least
        return self._choice.share if self._active else 0.0


def _clean(mask: Mask, cells: int) -> Mask:
    """Mask without one-cell gaps, and without specks and holes below a minimum area."""
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
