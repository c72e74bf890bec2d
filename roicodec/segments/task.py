"""Encode of single segments of a video, in any order: what one worker does."""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.encoder.roi.segment import PRE_ROLL
from roicodec.errors import InputError
from roicodec.factory import CodecFactory
from roicodec.picture import Picture
from roicodec.segments.plan import Segment, picture_crc
from roicodec.segments.stream import pack_segment
from roicodec.segments.work import Work

__all__ = ["EncodedSegment", "SegmentTask"]


@dataclass(frozen=True, slots=True)
class EncodedSegment:
    """A segment as it was encoded.

    Attributes:
        segment: which.
        data: its stream, as :func:`~roicodec.segments.stream.pack_segment` gives.
        missed: a line on a goal of rate or PSNR that was missed; empty otherwise.
        replaced: a line for each field of the header that had to be replaced.
        cpu_seconds: time that it took, reading included.
        crc32: of ``data``.
    """

    segment: Segment
    data: bytes
    missed: str
    replaced: tuple[str, ...]
    cpu_seconds: float
    crc32: int


class SegmentTask:
    """Encoder of segments of one video, fastest in ascending order.

    Args:
        work: filled in.
        factory: makes the encoders.
        first_pts: of the video's first picture.
    """

    def __init__(self, work: Work, factory: CodecFactory, first_pts: int) -> None:
        self._work, self._first_pts = work, first_pts
        self._reader = work.open()
        try:
            info = self._reader.info
            self._roi = work.roi_source(info)
            try:
                self._encoder = work.encoder(factory, info, self._roi)
            except BaseException:
                self._roi.close()
                raise
        except BaseException:
            self._reader.close()
            raise
        header, replaced = work.header(info, self._encoder.header_fields)
        self._header, self._replaced = header, tuple(replaced)
        self._start_reading()

    def encode(self, segment: Segment, progress: Callable[[], None]) -> EncodedSegment:
        """A segment's stream.

        Args:
            segment: which; its CRC says what pictures it must have.
            progress: told of each picture.

        Raises:
            InputError: if the source cannot be read, or its pictures are others.
        """
        clock = time.process_time()
        before = self._go_to(segment.start)
        looks_back = self._encoder.looks_back and not segment.cut
        self._encoder.begin(segment.start, self._first_pts, before if looks_back else (), segment)
        frames: list[FrameChunk] = []
        crc = 0
        for _ in range(segment.frames):
            picture = self._next_picture()
            if picture is None:
                break
            crc = picture_crc(picture, crc)
            frames += self._encoder.encode(picture)
            progress()
        frames += self._encoder.encode(None)
        if crc != segment.crc32:
            raise InputError(
                f"{self._work.source}: frames {segment.start} to {segment.stop - 1} are others than"
                " at first reading; it must not change while it is encoded, and be the same file on"
                " all machines"
            )
        data = pack_segment(self._header, frames)
        seconds = time.process_time() - clock
        return EncodedSegment(
            segment, data, self._encoder.missed(), self._replaced, seconds, zlib.crc32(data)
        )

    def close(self) -> None:
        """End of reading."""
        self._roi.close()
        self._reader.close()

    def _start_reading(self) -> None:
        self._pictures: Iterator[Picture] = iter(self._reader)
        self._position = 0
        self._before: deque[Picture] = deque(maxlen=PRE_ROLL)

    def _go_to(self, start: int) -> tuple[Picture, ...]:
        """The pictures right before frame ``start``, which is read next."""
        if start < self._position:
            self._reader.close()
            self._reader = self._work.open()
            self._start_reading()
        while self._position < start and self._next_picture() is not None:
            pass
        return tuple(self._before)

    def _next_picture(self) -> Picture | None:
        picture = next(self._pictures, None)
        if picture is not None:
            self._before.append(picture)
            self._position += 1
        return picture
