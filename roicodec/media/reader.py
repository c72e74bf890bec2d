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
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from roicodec.errors import InputError
from roicodec.media.contents import choose_video, describe_rest, expected_frames
from roicodec.media.convert import FrameReader, hidden_properties
from roicodec.media.cut import Cut, Item, moved, span
from roicodec.media.damage import DamageLog
from roicodec.media.demuxer import Demuxer
from roicodec.media.filters import NO_FILTERS, FilterChain, Filters
from roicodec.media.info import ASSUMED_RATE, VideoInfo
from roicodec.media.part import WHOLE, Part
from roicodec.media.properties import light_of, properties_of
from roicodec.media.source import Source, open_source
from roicodec.media.track_choice import ALL_TRACKS, TrackChoice
from roicodec.media.tracks import TrackPacket
from roicodec.picture import Picture

__all__ = ["Reader", "Source"]

_HONEST_DURATION = {"matroska": Fraction(1, 2), "mov": Fraction(1), "avi": Fraction(1)}
"""Formats whose header states the duration rather than leaving FFmpeg to guess it, and by how many
seconds it may be wrong."""


class Reader:
    """A video file, read once from start to end.

    What is damaged is left out and counted; the rest is read.

    Args:
        source: a path, ``-`` for standard input, a binary file object, or an address.
        frames: which pictures to give: a :class:`~roicodec.media.part.Part`, or a slice of their
            numbers from 0 (``slice(a, b)``, no step). The cut starts at the time at which the whole
            clip starts; the other tracks are cut and moved along.
        threads: for decoding the slices of a picture; 0 lets FFmpeg choose.
        strict: whether damage is an error.
        allow_network: whether addresses and playlists may be opened.
        filters: changes of the pictures, which ``frames`` and ``info`` go by.
        tracks: which of them are read.

    Attributes:
        info: the description of the pictures that this reader gives.
        extras: the other tracks, metadata and chapters.
        frame_count: expected number of pictures; None when the file does not say. An estimate.

    Raises:
        InputError: if the source is missing, has no video track, or its size is not supported; on
            construction or while reading.
    """

    def __init__(
        self, source: Source, frames: Part | slice | None = None, threads: int = 0, *,
        strict: bool = False, allow_network: bool = False, filters: Filters = NO_FILTERS,
        tracks: TrackChoice = ALL_TRACKS,
    ) -> None:  # fmt: skip
        self._filters, self._choice = filters, tracks
        self._warnings: list[str] = []
        self._part = frames if isinstance(frames, Part) else Part.of(frames)
        self._opened = open_source(source, allow_network)
        self.name, self._container = self._opened.name, self._opened.container
        self._damage = DamageLog(self.name, strict)
        try:
            self._open(threads)
        except BaseException:
            self.close()
            raise
        count = expected_frames(self._container, self._stream, self._source_rate, self._opened.size)
        if count is not None and self._filters.fps and self._source_rate:
            count = round(count * self._filters.fps / self._source_rate)
        self.frame_count = self._part.count(count, self._rate)

    def _open(self, threads: int) -> None:
        try:
            self._stream = choose_video(self._container, self._choice)
        except InputError as error:
            raise self._fail(str(error), error.parameter) from None
        self._stream.thread_count = threads
        self._decoded = self._skipped = 0
        self._delay: int | None = None
        self._pushed: int | None = None
        self._last: tuple[int, int] | None = None
        self._time_base = self._stream.time_base or 1 / ASSUMED_RATE
        self._rate = _positive(self._stream.average_rate) or _positive(self._stream.guessed_rate)
        self._source_rate = self._rate
        self._chain: FilterChain | None = None
        if self._filters != NO_FILTERS:
            self._chain = FilterChain(self._filters, self.name, self._time_base)
            self._time_base = self._chain.time_base
            self._rate = self._filters.fps or self._rate
        whole = self._part == WHOLE
        self.extras, self._indices = describe_rest(
            self._container, self._stream, whole, self._warn, self._choice
        )  # fmt: skip
        streams = [self._stream, *(self._container.streams[i] for i in self._indices)]
        self._demuxer = Demuxer(self._opened, streams, self._damage)
        self._events = self._decode_all()
        self._waiting: deque[VideoFrame | TrackPacket] = deque()
        self.info = self._first_info()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """End of reading; a file object that was handed in stays open."""
        self._opened.close()

    @property
    def warnings(self) -> list[str]:
        """One-line texts; complete once the pictures have been read."""
        leaps = self._demuxer.leaps
        closed = []
        if leaps:
            closed.append(
                f"the clock leaps by {float(leaps[0]):.2f} s at frame {self._demuxer.leap_frame};"
                " closed" + (f", with {len(leaps) - 1} other leaps" if len(leaps) > 1 else "")
            )
        return [*self._warnings, *closed, *self._damage.lines()]

    def __iter__(self) -> Iterator[Picture]:
        """The pictures alone."""
        return (item for item in self.items() if isinstance(item, Picture))

    def items(self) -> Iterator[Picture | TrackPacket]:
        """Pictures in order of display and track packets in order of the file, interleaved."""
        items = self._pictures()
        if self._part == WHOLE:
            return items
        return Cut(self.name, self._part, self.extras.tracks, self._time_base)(_numbered(items))

    # --- opening ---------------------------------------------------------------------------

    def _fail(self, message: str, parameter: str | None = None) -> InputError:
        return InputError(f"{self.name}: {message}", parameter=parameter)

    def _warn(self, message: str) -> None:
        if message not in self._warnings:
            self._warnings.append(message)

    def _first_info(self) -> VideoInfo:
        """Properties by the first picture, which knows more than the container."""
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
        if frame.duration and (self._rate is None or frame.pts is None):
            self._rate = 1 / (frame.duration * self._time_base)
        location, aspect, fields = hidden_properties(frame)
        aspect = _positive(self._stream.sample_aspect_ratio) or aspect
        if self._chain is not None:
            aspect = self._chain.aspect(aspect, frame.width, frame.height)
        display, light = light_of(frame)
        try:
            source = VideoInfo(
                frame.width, frame.height, self._time_base, self._rate, aspect,
                int(frame.color_range), int(frame.colorspace), int(frame.color_primaries),
                int(frame.color_trc), location, matrix, frame.format.name,
                fields if frame.interlaced_frame else "", display, light,
            )  # fmt: skip
        except InputError as error:
            raise self._fail(str(error)) from None
        self._convert = FrameReader(frame.format, source)
        self._format = frame.format.name
        if self._convert.warning:
            self._warn(self._convert.warning)
        if source.field_order:
            self._warn("interlaced: both fields are coded together, as one picture")
        if frame.pts is None:
            rate = self._rate or ASSUMED_RATE
            self._warn(f"no time stamps: {float(rate):g} frames per second assumed")
        self._shift = self._start(frame)
        chapters = self.extras.chapters
        if self._shift < 0:
            chapters = tuple(
                replace(c, start=max(c.start + by, 0), end=max(c.end + by, 0))
                for c in chapters
                for by in (round(self._shift / c.time_base),)
            )
        self.extras = replace(
            self.extras, chapters=chapters, display_matrix=matrix, properties=properties_of(source)
        )
        return self._convert.info

    def _start(self, frame: VideoFrame) -> Fraction:
        """Seconds by which all tracks are moved: the earliest starts at 0, or the video does."""
        start = (self._time_of(frame) or 0) * self._time_base
        if start < 0:
            self._warn("the clip starts before time 0; all tracks are moved to start there")
            return -start
        starts = [start]
        for event in self._waiting:
            if isinstance(event, TrackPacket) and event.pts is not None:
                track = self.extras.tracks[event.track]
                starts += [event.pts * track.time_base] if track.kind == "audio" else []
        for index in self._indices:
            stream = self._container.streams[index]
            if isinstance(stream, AudioStream) and stream.start_time is not None:
                starts.append(stream.start_time * Fraction(stream.time_base or 1))
        return -max(min(starts), Fraction(0))

    # --- reading ---------------------------------------------------------------------------

    def _decode_all(self) -> Iterator[VideoFrame | TrackPacket]:
        for packet in self._demuxer:
            if isinstance(packet.stream, VideoStream) and packet.stream is self._stream:
                yield from self._decode(packet)
            elif packet.is_corrupt:
                track = self.extras.tracks[self._indices[packet.stream_index]]
                self._damage.add(
                    f"a packet of the {track} is damaged and left out",
                    f"{{}} packets of the {track} are damaged and left out",
                )
            elif packet.size or packet.pts is not None:
                yield TrackPacket.from_av(packet, self._indices[packet.stream_index])
        if self._chain is not None:
            yield from self._chain(None)

    def _decode(self, packet: Packet[Stream]) -> Iterator[VideoFrame]:
        while True:
            try:
                frames = self._stream.decode(packet)
            except av.EOFError:
                return
            except av.FFmpegError as error:
                # A recording may begin between two key frames; nothing before the first counts.
                if not self._decoded and packet.size:
                    self._skipped += 1
                    return
                reason = error.strerror or type(error).__name__
                self._damage.add(
                    f"a packet of the video cannot be decoded ({reason}) and is left out",
                    "{} packets of the video cannot be decoded and are left out",
                )
                if packet.size:
                    return
                continue  # of the last pictures, which come without packets, the next
            break
        if frames and not self._decoded and self._skipped:
            self._warn(f"{self._skipped} packets before the first whole picture are left out")
        for frame in frames:
            self._decoded += 1
            if self._chain is None:
                yield frame
            else:
                frame.pts = self._pushed = self._filter_time(frame)
                yield from self._chain(frame)

    def _pictures(self) -> Iterator[Picture | TrackPacket]:
        number = 0
        end = Fraction(0)
        while True:
            event = self._waiting.popleft() if self._waiting else next(self._events, None)
            if event is None:
                break
            if isinstance(event, TrackPacket):
                unit = self.extras.tracks[event.track].time_base
                packet = moved(event, self._shift, unit)
                end = max(end, span(packet, unit)[1])
                yield packet
                continue
            self._damage.frame = number
            picture = self._picture(event, number)
            end = max(end, (picture.pts + picture.duration) * self._time_base)
            self._damage.time = float(picture.pts * self._time_base)
            yield picture
            number += 1
            self._damage.frame = number
        self._check_end(end)

    def _picture(self, frame: VideoFrame, number: int) -> Picture:
        where = f"at frame {number}"
        if (frame.width, frame.height) != (self.info.width, self.info.height):
            raise self._fail(
                f"the picture size changes to {frame.width}x{frame.height} {where}; split the"
                f" file there, or take frames 0:{number} alone",
                "frames",
            )
        if frame.format.name != self._format:
            self._format = frame.format.name
            self._convert = FrameReader(frame.format, self._convert.info)
            self._warn(f"the pixel format changes to {self._format} {where}")
        if frame.is_corrupt:
            self._damage.add(
                "a picture is damaged; FFmpeg has concealed what it could",
                "{} pictures are damaged; FFmpeg has concealed what it could",
            )
        step = int(1 / ((self._rate or ASSUMED_RATE) * self._time_base)) or 1
        duration = max(frame.duration or 0, 0)
        pts = self._time_of(frame)
        if self._last is None:
            pts = pts or 0
        elif pts is None:
            pts = self._last[0] + (self._last[1] or step)
        elif pts <= self._last[0]:
            if not any("do not increase" in warning for warning in self._warnings):
                self._warn(f"time stamps do not increase from frame {number} on; corrected")
            pts = self._last[0] + 1
        self._last = pts, duration
        return self._convert(frame, pts + round(self._shift / self._time_base), duration)

    def _filter_time(self, frame: VideoFrame) -> int:
        """Time stamp of a frame that goes into the filters, which need one that increases."""
        unit = self._stream.time_base or 1 / ASSUMED_RATE
        time = self._source_time(frame)
        if self._pushed is None:
            return time or 0
        step = int(1 / ((self._source_rate or ASSUMED_RATE) * unit)) or 1
        return self._pushed + step if time is None or time <= self._pushed else time

    def _time_of(self, frame: VideoFrame) -> int | None:
        return self._source_time(frame) if self._chain is None else frame.pts

    def _source_time(self, frame: VideoFrame) -> int | None:
        if "avi" not in self._container.format.name.split(","):
            return frame.pts if frame.pts is not None else frame.dts
        # AVI has no presentation times, only the times of decoding, by which its frames are
        # shown once the decoder's delay is taken off.
        if self._delay is None:
            self._delay = (frame.dts or 0) - (self._stream.start_time or 0)
        return None if frame.dts is None else frame.dts - self._delay

    # --- the end ---------------------------------------------------------------------------

    def _check_end(self, end: Fraction) -> None:
        """Check for what the file announces and does not have."""
        size = self._opened.size
        formats = self._container.format.name.split(",")
        if size is not None and "yuv4mpegpipe" in formats and self._demuxer.position < size:
            self._damage.add("the file ends inside of a picture: it is cut off")
            return
        if size is not None and "mov" in formats:
            entries = self._stream.index_entries
            lost = sum(entry.pos + entry.size > size for entry in entries)
            if lost:
                self._damage.add(
                    f"the file is cut off: {lost} of {len(entries)} announced frames are not there",
                )  # fmt: skip
                return
        slack = next((s for f, s in _HONEST_DURATION.items() if f in formats), None)
        stated = self._container.duration
        if slack is None or not stated:
            return
        stated_end = Fraction(stated + (self._container.start_time or 0), av.time_base)
        stated_end += self._shift
        if end < stated_end - slack:
            self._damage.add(
                f"the file seems to be cut off: it ends at {float(end):.2f} s and states"
                f" {float(stated_end):.2f} s"
            )


def _positive(value: Fraction | None) -> Fraction | None:
    return Fraction(value) if value and value > 0 else None


def _numbered(items: Iterator[Picture | TrackPacket]) -> Iterator[Item]:
    number = 0
    for item in items:
        if isinstance(item, Picture):
            yield number, item
            number += 1
        else:
            yield item
