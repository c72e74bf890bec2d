"""Encoder of a video in segments, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.rate_control import missed_bit_rate
from roicodec.encoder.roi.segment import PRE_ROLL, SegmentRoi
from roicodec.encoder.roi.sources import RoiSource
from roicodec.errors import InputError
from roicodec.factory import PictureEncoder
from roicodec.picture import Picture
from roicodec.segments.plan import Segment, Segmenter, picture_crc, segment_rules

__all__ = [
    "EncoderMaker",
    "Finished",
    "SegmentEncoder",
    "SegmentedEncoder",
    "missed_goal",
    "segmented",
]

EncoderMaker = Callable[[EncoderOptions, RoiSource], PictureEncoder]
"""Maker of the frame encoder of one segment."""


class Finished(Protocol):
    """Segments that are finished, from this run or one before."""

    def find(self, start: int) -> Segment | None:
        """The one that begins with a frame; None if there is none."""

    def load(self, segment: Segment) -> tuple[Header, list[FrameChunk]]:
        """Its header and frames."""

    def add(self, segment: Segment, frames: Sequence[FrameChunk]) -> None:
        """One more."""


class SegmentEncoder:
    """Encoder of segments, each by a frame encoder of its own, in any order.

    Args:
        make: makes the frame encoders.
        options: of the encoder.
        roi: finds the ROI; of the whole input.
    """

    def __init__(self, make: EncoderMaker, options: EncoderOptions, roi: RoiSource) -> None:
        self._make, self._options = make, options
        self._roi = SegmentRoi(roi, options.time_base)
        # The stream's header is due before its first picture.
        self._fresh: PictureEncoder | None = None
        self._encoder = self._fresh = make(options, self._roi)
        self.header_fields = self._encoder.header_fields

    @property
    def looks_back(self) -> bool:
        """Whether the pictures before a segment are wanted."""
        return self._roi.looks_back

    def begin(
        self, start: int, first_pts: int, before: Sequence[Picture], budget: Segment | None
    ) -> None:
        """Start of a segment.

        Args:
            start, first_pts, before: as :meth:`SegmentRoi.begin` takes them.
            budget: the segment with its bit rate, where it has one.
        """
        options, fresh = self._options, self._fresh
        if budget is not None and budget.bit_rate is not None:
            options = replace(options, bit_rate=budget.bit_rate, frames=budget.frames)
            fresh = None
        self._fresh = None
        self._encoder = fresh or self._make(options, self._roi)
        self._roi.begin(start, first_pts, before)

    def encode(self, picture: Picture | None) -> list[FrameChunk]:
        """Frames of the segment that are complete after one more picture, all after None."""
        return [coded.chunk for coded in self._encoder.encode(picture)]

    def missed(self) -> str:
        """A line on the goal that the segment missed; empty otherwise."""
        return self._encoder.missed()


class SegmentedEncoder:
    """Encoder of a video, in order of presentation, segment by segment.

    Args:
        encoder: of each.
        segmenter: says where they begin.
        plan: the segments with their budgets; None where there are none.
        finished: where finished ones are found and kept; None for nowhere.
    """

    def __init__(
        self,
        encoder: SegmentEncoder,
        segmenter: Segmenter,
        *,
        plan: Sequence[Segment] | None = None,
        finished: Finished | None = None,
    ) -> None:
        self._encoder, self._segmenter = encoder, segmenter
        self._plan, self._finished = plan, finished
        self._count = self._number = self._start = self._crc = self._first_pts = 0
        self._cut = True
        self._frames: list[FrameChunk] = []
        self._found: Segment | None = None
        self._before: deque[Picture] = deque(maxlen=PRE_ROLL if encoder.looks_back else 0)
        self.header_fields = encoder.header_fields
        self.missed: list[tuple[Segment, str]] = []
        """Segments that missed their goal, with a line each."""

    @property
    def segments(self) -> int:
        """Number of segments that are complete."""
        return self._number

    def encode(self, picture: Picture | None) -> list[FrameChunk]:
        """Frames that are complete after one more picture, in coding order; all after None.

        Raises:
            InputError: if the picture or its ROI cannot be used, or a finished segment is of other
                pictures.
        """
        if picture is None:
            return self._end(last=True) if self._count else []
        out: list[FrameChunk] = []
        if self._segmenter.starts(picture):
            if self._count:
                out = self._end()
            self._begin(picture)
        if self._finished is not None:
            self._crc = picture_crc(picture, self._crc)
        if self._found is None:
            out += self._kept(self._encoder.encode(picture))
        self._before.append(picture)
        self._count += 1
        return out

    def _begin(self, picture: Picture) -> None:
        if not self._count:
            self._first_pts = picture.pts
        self._start, self._crc, self._cut = self._count, 0, self._segmenter.cut
        self._found = self._finished.find(self._start) if self._finished else None
        if self._found is None:
            before = () if self._cut else tuple(self._before)
            budget = self._plan[self._number] if self._plan else None
            self._encoder.begin(self._start, self._first_pts, before, budget)

    def _end(self, *, last: bool = False) -> list[FrameChunk]:
        """The frames that are still due of a segment."""
        segment = Segment(self._number, self._start, self._count, self._cut, self._crc)
        if self._found is not None:
            if (self._found.stop, self._found.crc32) != (segment.stop, segment.crc32):
                raise InputError(
                    f"frames {segment.start} to {segment.stop - 1} are not those that an earlier"
                    " run has encoded: the source has changed; start anew"
                )
            assert self._finished is not None
            out = self._finished.load(self._found)[1]
        else:
            out = self._kept(self._encoder.encode(None))
            if line := self._encoder.missed():
                self.missed.append((segment, line))
            if self._finished is not None and not last:
                self._finished.add(segment, self._frames)
        self._frames = []
        self._number += 1
        return out

    def _kept(self, frames: list[FrameChunk]) -> list[FrameChunk]:
        if self._finished is not None:
            self._frames += frames
        return frames


def segmented(make: EncoderMaker, options: EncoderOptions, roi: RoiSource) -> SegmentedEncoder:
    """Encoder of pictures of which nothing is known before they come: with a bit rate, whose
    budgets need to know all of them, in one segment."""
    whole = options.bit_rate is not None or options.max_rate is not None
    rules = None if whole else segment_rules(options)
    return SegmentedEncoder(SegmentEncoder(make, options, roi), Segmenter(rules))


def missed_goal(
    options: EncoderOptions,
    missed: Sequence[tuple[Segment, str]],
    segments: int,
    video_bytes: int,
    frames: int,
) -> str:
    """A line on how far a stream is from the goal of bit rate or PSNR; empty if near.

    Args:
        options: with the goal.
        missed: segments that missed theirs, with a line each.
        segments: number of all.
        video_bytes: of all frames.
        frames: number of all.
    """
    if segments == 1 or not missed:
        return missed[0][1] if missed else ""
    if options.bit_rate is not None:
        seconds = frames / float(options.frame_rate)
        return missed_bit_rate(8 * video_bytes / seconds / options.bit_rate)
    first, line = missed[0]
    where = f"frames {first.start} to {first.stop - 1}"
    return f"in {len(missed)} of {segments} segments, the first of them {where}: {line}"
