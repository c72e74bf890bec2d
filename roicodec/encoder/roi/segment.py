"""ROI of a segment: the same whichever process codes it, and whatever was coded before."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from roicodec.bitstream.masks import Mask
from roicodec.encoder.roi.auto import AutoRoi
from roicodec.encoder.roi.sources import RoiSource, UnionRoi
from roicodec.picture import Picture

__all__ = ["PRE_ROLL", "SegmentRoi"]

PRE_ROLL = 8
"""Pictures before a segment that a found ROI looks at first: enough for its three looks at a new
scene and for a fixed camera's background."""


class SegmentRoi(UnionRoi):
    """A ROI source whose frames are numbered and timed from the start of the input, though an
    encoder counts from the start of its segment.

    Args:
        source: for the whole input; it may serve one segment after the other.
        time_base: seconds per unit of the pictures' pts.
    """

    def __init__(self, source: RoiSource, time_base: Fraction) -> None:
        super().__init__((source,))
        self._time_base = time_base
        self._start = self._first_pts = 0
        self._before: Picture | None = None

    @property
    def looks_back(self) -> bool:
        """Whether a part of it is found from the pictures, so that a pre-roll changes it."""
        return bool(_found(self))

    def begin(self, start: int, first_pts: int, before: Sequence[Picture]) -> None:
        """Start of a segment.

        Args:
            start: number of its first frame in the input.
            first_pts: of the input's first picture.
            before: the pictures right before it, at most :data:`PRE_ROLL`; none where a scene
                begins.
        """
        self._start, self._first_pts = start, first_pts
        self._before = before[-1] if before else None
        last = None
        for place, picture in enumerate(before):
            number = start - len(before) + place
            for source in _found(self):
                source.mask(number, self._time(picture), picture, last)
            last = picture

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        if index == 0:
            reference, self._before = self._before, None
        return super().mask(self._start + index, self._time(picture), picture, reference)

    def close(self) -> None:
        """Nothing: the source is closed by whom it was opened."""

    def _time(self, picture: Picture) -> float:
        return float((picture.pts - self._first_pts) * self._time_base)


def _found(roi: RoiSource) -> list[AutoRoi]:
    """Parts of a ROI that are found from the pictures."""
    if isinstance(roi, UnionRoi):
        return [part for source in roi.sources for part in _found(source)]
    return [roi] if isinstance(roi, AutoRoi) else []
