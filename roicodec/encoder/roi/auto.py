"""ROI masks from saliency maps, without flicker."""

from __future__ import annotations

import functools

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
_WORTH, _STILL_WORTH = 0.25, 0.2
"""Expected saving from which there is a ROI, and below which there is no longer one. Chances are
too sure of themselves, and the saving with them, by some 0.15."""

_PULL = np.float32(0.8)
_STAY = 1.3
_LEVEL_STAY = 0.8
_TOP, _HARDLY, _NEVER = 0.02, 0.4, 0.05
"""Share of cells that are the likeliest. Chances below the second part of theirs are weakened in
proportion: over a whole frame what is hardly anything adds up to more than a small thing. Cells
below the third part are not ROI, also if they were."""
_MIN_AREA = 0.002
_SUB = 4
_AT_FIRST = 3
"""Frames of a scene of which each is looked at."""
_FAST, _SLOW, _REST = 0.35, 0.15, 4
"""Parts of the ROI above which changes call for a look at the next frame, or the next but one;
else the frame looked at next is this many ahead."""

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class AutoRoi:
    """``auto``: the ROI follows a saliency model.

    A cell has the largest value of the map within it, as any sample of what matters makes it ROI.
    Cells are smoothed over time (exponential moving average, started anew at cuts). The share of
    the frame is the one that is expected to save most; where too little would be saved, since
    nothing stands out, no cell is ROI. Then a threshold with hysteresis (a cell that is ROI stays
    so until it falls clearly below), closing of gaps, and removal of specks and holes. Frames are
    looked at as often as the ROI changes: each where it moves fast, every fourth where it rests.

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
        self._since, self._wait = 0, 0
        self._bits: NDArray[np.float32] | None = None
        self._thumbnail: NDArray[np.float64] | None = None

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        before, self._thumbnail = self._thumbnail, thumbnail(picture)
        if reference is None or before is None or is_cut(self._thumbnail, before):
            self._smooth, self._choice, self._active = None, None, False
            self._last = np.zeros_like(self._last)
            self._since, self._wait = 0, 0
        if self._since < _AT_FIRST or self._wait == 0:
            last = self._last
            self._look(picture, reference if self._since else None)
            self._wait = _rest(self._last, last)
        self._since += 1
        self._wait -= 1
        return self._last.copy()

    def _look(self, picture: Picture, previous: Picture | None) -> None:
        found = self._saliency.map(picture, previous)
        cells = functools.reduce(np.maximum, self._places(found))
        if self._smooth is None:
            self._smooth = cells
        else:
            self._smooth = self._smooth + _PULL * (cells - self._smooth)
        bits = self._saliency.bits
        self._bits = None if bits is None else functools.reduce(np.add, self._places(bits))
        self._last = _clean(self._threshold(self._smooth), self._last.size)

    @property
    def chances(self) -> NDArray[np.float32] | None:
        """The smoothed map behind the last mask, 0..1, on its grid; None before the first."""
        return self._smooth

    def close(self) -> None:
        pass

    def _places(self, plane: SaliencyMap) -> list[NDArray[np.float32]]:
        """A map at 4x4 places within the cells, each ``[rows, columns]``; cells that stick out of
        the frame repeat its edge."""
        width, height = self._size
        rows, columns = self._last.shape
        step = CELL / _SUB
        sx, sy = plane.shape[1] / width * step, plane.shape[0] / height * step
        place = np.array([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5]])
        warped = cv2.warpAffine(
            plane,
            place,
            (columns * _SUB, rows * _SUB),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        fine: NDArray[np.float32] = np.asarray(warped, np.float32)
        return [fine[y::_SUB, x::_SUB] for y in range(_SUB) for x in range(_SUB)]

    def _threshold(self, smooth: NDArray[np.float32]) -> Mask:
        if self._level is not None:
            enter, stay = self._level, self._level * _LEVEL_STAY
        else:
            share = self._chosen_share(smooth) if self._forced is None else self._forced
            if share == 0:
                return np.zeros_like(self._last)
            ranks = [max(0.0, 1 - share * factor) for factor in (1, _STAY)]
            least = 0.0 if self._forced else _NEVER * _high(smooth)
            enter, stay = (max(float(v), least) for v in np.quantile(smooth, ranks))
        return (smooth > enter) | ((smooth > stay) & self._last)

    def _chosen_share(self, smooth: NDArray[np.float32]) -> float:
        """Share that is expected to save most, followed slowly; 0 where nothing stands out."""
        choice = worth(_clear(smooth), self._bits, _LEAST, _MOST)
        least = _STILL_WORTH if self._active else _WORTH
        before = choice if self._choice is None else self._choice
        self._choice = Choice(
            before.share + _SHARE_PULL * (choice.share - before.share),
            before.saving + _SAVING_PULL * (choice.saving - before.saving),
        )
        self._active = self._choice.saving > least
        return self._choice.share if self._active else 0.0


def _clear(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Chances without what is hardly anything beside the likeliest cells."""
    high = max(_HARDLY * _high(smooth), 1e-6)
    return np.asarray(smooth * np.minimum(smooth / high, 1), np.float32)


def _high(smooth: NDArray[np.float32]) -> float:
    """Chance of the likeliest cells."""
    return float(np.quantile(smooth, 1 - _TOP))


def _rest(mask: Mask, last: Mask) -> int:
    """Number of frames to the next look."""
    size = max(int(np.count_nonzero(mask)), int(np.count_nonzero(last)), 1)
    changed = int(np.count_nonzero(mask != last)) / size
    return 1 if changed > _FAST else 2 if changed > _SLOW else _REST


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
