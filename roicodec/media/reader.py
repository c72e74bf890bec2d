"""Reading: pictures one by one, and the packets of every other track between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.stream import AttachmentStream, Discard, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from roicodec.errors import InputError
from roicodec.media.convert import FrameReader, hidden_properties
from roicodec.media.cut import Cut, moved, span
from roicodec.media.info import ASSUMED_RATE, VideoInfo
from roicodec.media.parameters import describe, lasting_metadata
from roicodec.media.source import Source, open_source
from roicodec.media.tracks import Chapter, Extras, Track, TrackPacket
from roicodec.picture import Picture

__all__ = ["Reader", "Source"]

_MAX_ATTACHMENT = 1 << 25
_UNCUT = slice(None)
_HONEST_DURATION = ("matroska", "mov", "avi")
"""Formats whose header states the duration rather than leaving FFmpeg to guess it."""


class Reader:
    """A video file, read once from start to end.

    Args:
        source: a path, ``-`` for standard input, or a binary file object.
        frames: which pictures to give, as a slice of their numbers from 0 (``slice(a, b)``, no
            step). The cut starts at the time at which the whole clip starts; the other tracks
            are cut and moved along.
        threads: for decoding the slices of a picture; 0 lets FFmpeg choose.

    Attributes:
        info: the description of the pictures that this reader gives.
        extras: the other tracks, metadata and chapters.
        frame_count: expected number of pictures; None when the file does not tell. A guess.
        warnings: one-line texts; complete once the pictures have been read.

    Raises:
        InputError: if the source is missing, has no video track, is damaged, or its size is not
            supported; on construction or while reading.
    """

    def __init__(self, source: Source, frames: slice | None = None, threads: int = 0) -> None:
        self.warnings: list[str] = []
        self._cut = frames or _UNCUT
        start, stop = self._cut.start or 0, self._cut.stop
        if self._cut.step not in (None, 1) or start < 0 or (stop is not None and stop <= start):
            raise InputError(f"frames {start}:{stop}: give a:b with 0 <= a < b")
        self.name, self._container = open_source(source)
        try:
            self._stream = self._choose_video()
            self._stream.thread_count = threads
            self._decoded = self._skipped = 0
            self._delay: int | None = None
            self._last: tuple[int, int] | None = None
            self._time_base = self._stream.time_base or 1 / ASSUMED_RATE
            self._rate = _positive(self._stream.average_rate) or _positive(
                self._stream.guessed_rate
            )
            self._indices: dict[int, int] = {}
            self.extras = self._describe_rest()
            self._events = self._demux()
            self._waiting: deque[VideoFrame | TrackPacket] = deque()
            self.info = self._first_info()
        except BaseException:
            self.close()
            raise
        self.frame_count = self._expected_count()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Close the file; a file object that was handed in stays open."""
        self._container.close()

    def __iter__(self) -> Iterator[Picture]:
        """The pictures alone."""
        return (item for item in self.items() if isinstance(item, Picture))

    def items(self) -> Iterator[Picture | TrackPacket]:
        """Pictures in order of display and track packets in order of the file, interleaved."""
        start, stop = self._cut.start or 0, self._cut.stop
        items = self._pictures()
        if not start and stop is None:
            return items
        return Cut(self.name, start, stop, self.extras.tracks, self._time_base)(items)

    # --- opening ---------------------------------------------------------------------------

    def _fail(self, message: str) -> InputError:
        return InputError(f"{self.name}: {message}")

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)

    def _choose_video(self) -> VideoStream:
        videos = [
            s for s in self._container.streams.video
            if not s.disposition & Disposition.attached_pic
        ]  # fmt: skip
        if not videos:
            raise self._fail("has no video track")
        decodable = [s for s in videos if s.codec_context]
        if not decodable:
            raise self._fail("FFmpeg has no decoder for its video; convert it first")
        return max(
            decodable,
            key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height),
        )

    def _describe_rest(self) -> Extras:
        tracks: list[Track] = []
        chapters = tuple(
            Chapter(c["id"], c["start"], c["end"], c["time_base"] or Fraction(1), c["metadata"])
            for c in self._container.chapters()
        )
        if chapters and self._cut not in (_UNCUT, slice(0, None)):
            self._warn("chapters are left out because only a part of the frames was chosen")
            chapters = ()
        for stream in self._container.streams:
            if stream is self._stream:
                continue
            track = self._describe(stream)
            if track is None:
                stream.discard = Discard.all
                if stream.type != "data" or not self._container.chapters():
                    name = stream.codec_context.name if stream.codec_context else "unknown codec"
                    self._warn(f"{stream.type} track {stream.index} ({name}) is left out")
                continue
            self._indices[stream.index] = len(tracks)
            tracks.append(track)
        return Extras(
            tuple(tracks), lasting_metadata(self._container.metadata),
            lasting_metadata(self._stream.metadata), chapters,
        )  # fmt: skip

    def _describe(self, stream: Stream) -> Track | None:
        if isinstance(stream, AttachmentStream) and len(stream.data) > _MAX_ATTACHMENT:
            return None
        still = stream.disposition & Disposition.attached_pic
        if isinstance(stream, AudioStream | SubtitleStream | AttachmentStream) or still:
            return describe(stream)
        return None

    def _first_info(self) -> VideoInfo:
        """Decode up to the first picture, which knows more than the container."""
        for event in self._events:
            self._waiting.append(event)
            if isinstance(event, VideoFrame):
                break
        else:
            raise self._fail("no picture can be decoded; it is damaged or empty")
        frame = event
        matrix = None
        if side_data := frame.side_data.get("DISPLAYMATRIX"):
            assert isinstance(side_data, SideData)
            matrix = tuple(map(int, np.frombuffer(bytes(side_data), np.int32)))
        self.extras = replace(self.extras, display_matrix=matrix)
        if frame.duration and (self._rate is None or frame.pts is None):
            self._rate = 1 / (frame.duration * self._time_base)
        location, aspect = hidden_properties(frame)
        aspect = _positive(self._stream.sample_aspect_ratio) or aspect
        try:
            source = VideoInfo(
                frame.width, frame.height, self._time_base, self._rate, aspect,
                int(frame.color_range), int(frame.colorspace), int(frame.color_primaries),
                int(frame.color_trc), location, matrix, frame.format.name,
            )  # fmt: skip
        except InputError as error:
            raise self._fail(str(error)) from None
        self._convert = FrameReader(frame.format, source)
        self._format = frame.format.name
        if self._convert.warning:
            self._warn(self._convert.warning)
        if frame.interlaced_frame:
            self._warn("interlaced: both fields are coded together, as a progressive frame")
        self._shift = -min(self._time_of(frame) or 0, 0)
        if self._shift:
            self._warn("the clip starts before time 0; all tracks are moved to start there")
        if frame.pts is None:
            rate = self._rate or ASSUMED_RATE
            self._warn(f"no time stamps: {float(rate):g} frames per second assumed")
        return self._convert.info

    def _expected_count(self) -> int | None:
        count: int | None = self._stream.frames or None
        if count is None and self._container.duration and self._rate:
            count = round(Fraction(self._container.duration, av.time_base) * self._rate)
        if count is None:
            return count
        return len(range(count)[self._cut])

    # --- reading ---------------------------------------------------------------------------

    def _demux(self) -> Iterator[VideoFrame | TrackPacket]:
        streams = [self._stream, *(self._container.streams[i] for i in self._indices)]
        packets = self._container.demux(streams)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                raise self._damaged(error) from error
            if packet.stream is self._stream:
                yield from self._decode(packet)
            elif packet.size or packet.pts is not None:
                yield TrackPacket.from_av(packet, self._indices[packet.stream_index])

    def _decode(self, packet: Packet[Stream]) -> Iterator[VideoFrame]:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError as error:
            # A recording may begin between two key frames; nothing before the first counts.
            if not self._decoded and packet.size:
                self._skipped += 1
                return
            raise self._damaged(error) from error
        if frames and not self._decoded and self._skipped:
            self._warn(f"{self._skipped} packets before the first whole picture are left out")
        for frame in frames:
            self._decoded += 1
            yield frame

    def _damaged(self, error: av.FFmpegError) -> InputError:
        at = f"at frame {self._decoded}"
        if self._last is not None:
            at += f", {float(self._last[0] * self._time_base):.2f} s"
        return self._fail(
            f"damaged {at} ({error.strerror}); repair the file, or take the frames before with"
            f" --frames 0:{self._decoded}"
        )

    def _pictures(self) -> Iterator[Picture | TrackPacket]:
        number = 0
        end = Fraction(0)
        while True:
            event = self._waiting.popleft() if self._waiting else next(self._events, None)
            if event is None:
                break
            if isinstance(event, TrackPacket):
                unit = self.extras.tracks[event.track].time_base
                packet = moved(event, self._shift * self._time_base, unit)
                end = max(end, span(packet, unit)[1])
                yield packet
                continue
            picture = self._picture(event, number)
            end = max(end, (picture.pts + picture.duration) * self._time_base)
            yield picture
            number += 1
        self._check_end(end)

    def _picture(self, frame: VideoFrame, number: int) -> Picture:
        where = f"at frame {number}"
        if (frame.width, frame.height) != (self.info.width, self.info.height):
            raise self._fail(
                f"the picture size changes to {frame.width}x{frame.height} {where}; split the"
                f" file there, or take the frames before with --frames 0:{number}"
            )
        if frame.format.name != self._format:
            self._format = frame.format.name
            self._convert = FrameReader(frame.format, self._convert.info)
            self._warn(f"the pixel format changes to {self._format} {where}")
        if frame.is_corrupt:
            self._warn(f"the source is damaged {where}; FFmpeg has concealed what it could")
        step = int(1 / ((self._rate or ASSUMED_RATE) * self._time_base)) or 1
        duration = max(frame.duration or 0, 0)
        pts = self._time_of(frame)
        if self._last is None:
            pts = pts or 0
        elif pts is None:
            pts = self._last[0] + (self._last[1] or step)
        elif pts <= self._last[0]:
            if not any("do not increase" in warning for warning in self.warnings):
                self._warn(f"time stamps do not increase from frame {number} on; corrected")
            pts = self._last[0] + 1
        self._last = pts, duration
        return self._convert(frame, pts + self._shift, duration)

    def _time_of(self, frame: VideoFrame) -> int | None:
        if "avi" not in self._container.format.name.split(","):
            return frame.pts if frame.pts is not None else frame.dts
        # AVI has no presentation times, only the times of decoding, by which its frames are
        # shown once the decoder's delay is taken off.
        if self._delay is None:
            self._delay = (frame.dts or 0) - (self._stream.start_time or 0)
        return None if frame.dts is None else frame.dts - self._delay

    def _check_end(self, end: Fraction) -> None:
        stated = self._container.duration
        if not stated or not any(f in self._container.format.name for f in _HONEST_DURATION):
            return
        stated_end = Fraction(stated + (self._container.start_time or 0), av.time_base)
        if end < stated_end - 1:
            self._warn(
                f"ends at {float(end):.2f} s although the file states {float(stated_end):.2f} s:"
                " it seems to be cut off"
            )


def _positive(value: Fraction | None) -> Fraction | None:
    return Fraction(value) if value and value > 0 else None
