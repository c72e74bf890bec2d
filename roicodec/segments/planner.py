"""First pass: the segments of a video, and what each may cost.

Bits are divided as a smoothed measure of how hard segments are to predict, so that hard scenes get
more, but not as much more as the same quality would take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from roicodec.encoder.roi.scene import inter_bits, intra_bits, optical_flow
from roicodec.picture import Picture, Plane
from roicodec.segments.plan import Segment, Segmenter, SegmentRules, picture_crc
from roicodec.segments.work import Work

__all__ = ["Planner", "planned"]

_WIDTH = 160
"""Samples of a row at which costs are measured."""

_EVENNESS = 0.6
"""Exponent of a segment's cost in its share of the bits: 0 gives all segments the same rate, 1 all
about the same quality."""


class Planner:
    """Segments of pictures that come one by one.

    Args:
        rules: to divide by; None for a single segment.
        costs: whether costs are measured.

    Attributes:
        segments: those that are complete.
        pictures: number of pictures so far.
    """

    def __init__(self, rules: SegmentRules | None, *, costs: bool = False) -> None:
        self._segmenter = Segmenter(rules)
        self._costs: list[float] | None = [] if costs else None
        self._crc = self._start = 0
        self._cut = True
        self._last: Plane | None = None
        self.segments: list[Segment] = []
        self.pictures = 0

    def add(self, picture: Picture) -> Segment | None:
        """The segment that ends before the next picture, if one does."""
        ended = None
        if self._segmenter.starts(picture):
            if self.pictures:
                ended = self._end()
            self._start, self._crc, self._cut = self.pictures, 0, self._segmenter.cut
        self._crc = picture_crc(picture, self._crc)
        if self._costs is not None:
            self._costs.append(self._cost(picture))
        self.pictures += 1
        return ended

    def finish(self) -> Segment | None:
        """The last segment; None if there was no picture."""
        return self._end() if self.pictures else None

    def budgets(self, bit_rate: float) -> list[Segment]:
        """The segments with their shares of a mean bit rate."""
        assert self._costs is not None
        means = [float(np.mean(self._costs[s.start : s.stop])) for s in self.segments]
        shares = np.maximum(means, 1e-6) ** _EVENNESS
        mean = float(np.dot(shares, [s.frames for s in self.segments])) / self.pictures
        return [
            replace(segment, bit_rate=bit_rate * float(share) / mean)
            for segment, share in zip(self.segments, shares, strict=True)
        ]

    def _end(self) -> Segment:
        number = len(self.segments)
        segment = Segment(number, self._start, self.pictures, self._cut, self._crc)
        self.segments.append(segment)
        return segment

    def _cost(self, picture: Picture) -> float:
        """Bits that a picture takes, on no scale."""
        width = min(_WIDTH, picture.width)
        height = max(1, round(picture.height * width / picture.width))
        now = np.asarray(
            cv2.resize(picture.y, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
        before, self._last = self._last, now
        if before is None or self._segmenter.cut:
            return float(intra_bits(now).mean())
        return float(inter_bits(now, before, optical_flow(now, before)).mean())


def planned(work: Work, rules: SegmentRules | None) -> Sequence[Segment]:
    """Segments of a work's video, with budgets where it has a bit rate, by a first pass.

    Raises:
        InputError: if the source cannot be read.
    """
    bit_rate = work.options.bit_rate
    planner = Planner(rules, costs=bit_rate is not None)
    with work.open() as reader:
        for picture in reader:
            planner.add(picture)
    planner.finish()
    return planner.segments if bit_rate is None else planner.budgets(bit_rate)
