"""Containers: an encoded video track and the other tracks, which never cost the video."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from roicodec.errors import InputError
from roicodec.media.clock import PacketClock, PictureClock, SteadyClock
from roicodec.media.containers import MOV, REFUSALS, muxer_options, nowhere, open_output, title_of
from roicodec.media.extras import Chapter, Extras
from roicodec.media.info import ASSUMED_RATE, VideoInfo
from roicodec.media.lane_choice import LaneChoice
from roicodec.media.lanes import Lane, reason_of
from roicodec.media.spool import VIDEO, Spool
from roicodec.media.tags import utf8_extras
from roicodec.media.tracks import Problems, TrackPacket
from roicodec.media.video_encoder import AddVideo, VideoEncoder
from roicodec.picture import Picture

__all__ = ["Muxer"]

_MAX_EARLY = 1 << 25
"""Bytes of packets that are held until the first picture comes."""
_MAX_UNIT, _UNIT = 10**4, 1 / ASSUMED_RATE
"""Seconds per unit of the pictures' time stamps: the most, and what is taken if there are more."""
_SAMPLES = 3
"""Packets with which it is tried whether an output with a track can be completed."""
_MAX_TRIALS = 200
"""Headers that are tried to find out which parts of it a muxer refuses."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Optional part of the header: a track, a tag, a chapter, the matrix."""

    name: str
    lane: tuple[int, Lane] | None = None
    extras: Extras = field(default_factory=Extras)


class Muxer:
    """A container with an encoded video track and the other tracks.

    The header is written when the first picture comes, and only with what the muxer takes.

    Args:
        place: takes the file.
        format: FFmpeg's name of the muxer.
        info: description of the pictures.
        extras: the other tracks, tags and chapters.
        codec, crf, threads: as :class:`roicodec.media.Writer` takes them.
        audio_codec: ``copy``, or the codec to transcode audio to.
        warnings: takes lines on what the container cannot hold.
        problems: takes lines on what is damaged.
    """

    def __init__(
        self, place: BinaryIO, format: str, info: VideoInfo, extras: Extras, codec: str,
        crf: float | None, threads: int, audio_codec: str, warnings: list[str],
        problems: Problems,
    ) -> None:  # fmt: skip
        if info.time_base > _MAX_UNIT:
            problems.add(f"time base {info.time_base} of the pictures cannot be; {_UNIT} s taken")
            info = replace(info, time_base=_UNIT, frame_rate=None)
        self._place, self._format = place, format
        self._extras = utf8_extras(extras, warnings)
        self._problems = problems
        self._lane_for = LaneChoice(format, audio_codec, warnings, problems)
        self._clock = PictureClock(info.time_base, info.frame_rate, format, problems)
        self._steady: SteadyClock | None = None
        if format == "avi":
            rate = info.frame_rate or ASSUMED_RATE
            self._steady = SteadyClock(info.time_base, rate, warnings)
            info = replace(info, time_base=1 / rate, frame_rate=rate)
        self._info, self._codec, self._crf = info, codec, crf
        self._encoder = VideoEncoder(
            codec, crf, threads, info, warnings, reorder=self._steady is None
        )
        self._check = PacketClock(extras.tracks, problems)
        self._early: list[TrackPacket] = []
        self._held = self._trials = 0
        self._out: OutputContainer | None = None
        self._lanes: dict[int, Lane] = {}
        self._streams: dict[int, Stream] = {}
        self._strays: set[int] = set()
        self._spool: Spool | None = None
        self._kept: list[_Part] = []
        self._waiting: Packet[VideoStream] | None = None
        self._start: int | None = None
        self._end = self._first_dts = 0
        self._open(nowhere(), ()).close()  # whether codec and container fit, before any picture

    # --- what comes ------------------------------------------------------------------------

    def write(self, picture: Picture) -> None:
        out = self._opened()
        pts, duration = self._clock(picture.pts, picture.duration)
        if self._steady is not None:
            pts, duration = self._steady(pts), 1
        self._start = pts if self._start is None else self._start
        self._end = pts + duration
        for packet in self._encoder.encode(replace(picture, pts=pts, duration=duration)):
            self._mux_video(out, packet)

    def write_packet(self, packet: TrackPacket) -> None:
        if self._out is None and self._held <= _MAX_EARLY:
            self._early.append(packet)
            self._held += len(packet.data) + 200
            return
        out = self._opened()
        if packet.track >= len(self._extras.tracks):
            if packet.track not in self._strays:
                self._problems.add(f"packets of track {packet.track}, which is not described")
                self._strays.add(packet.track)
            return
        lane = self._lanes.get(packet.track)
        if lane is not None and (sound := self._check(packet)) is not None:
            stream = self._streams[packet.track]
            self._mux_track(out, packet.track, lane.packets(sound, stream))

    def finish(self) -> None:
        out = self._opened()
        for packet in self._encoder.encode(None):
            self._mux_video(out, packet)
        if self._waiting is not None:
            last, self._waiting = self._waiting, None
            if self._format in MOV:
                self._set_end(last)
            self._write(out, VIDEO, last)
        for index, lane in list(self._lanes.items()):
            self._mux_track(out, index, lane.flush(self._streams[index]))
        try:
            out.close()
        except REFUSALS as error:
            if self._spool is None or not self._place.seekable():
                raise
            self._start_over(self._spool, error)
        self._close_lanes()

    def abort(self) -> None:
        self._close_lanes()
        if self._out is not None:
            with suppress(Exception):
                self._out.close()

    def _set_end(self, last: Packet[VideoStream]) -> None:
        """Times of the last packet, set so that the video's track has its right length.

        MP4 states the length twice: as the sum of all durations in the order of decoding, and as
        the latest end in that of presentation, for both of which it takes the packets' durations.
        With reordered pictures of unequal durations they agree only if the last packet is decoded
        no earlier before it is shown than the first is.
        """
        start = self._start or 0
        if last.dts is None or last.pts is None:
            return
        last.dts = max(last.dts, last.pts - max(start - self._first_dts, 0))
        decoded = last.dts - self._first_dts
        last.duration = max(self._end - start - decoded, 1)

    def _mux_video(self, out: OutputContainer, packet: Packet[VideoStream]) -> None:
        start = self._start or 0
        if packet.pts is not None:
            # x265 gives what memory held before for a clip of two pictures.
            earliest = start - (self._end - start)
            if packet.dts is None or not earliest <= packet.dts <= packet.pts:
                packet.dts = packet.pts
        if self._waiting is None:
            self._first_dts = packet.dts or 0
        else:
            self._write(out, VIDEO, self._waiting)
        self._waiting = packet

    def _mux_track(
        self, out: OutputContainer, index: int, packets: Sequence[Packet[Stream]]
    ) -> None:
        for packet in packets:
            try:
                self._write(out, index, packet)
            except REFUSALS as error:
                track = self._extras.tracks[index]
                self._problems.add(f"{track}: ends early ({reason_of(error)})")
                self._lanes.pop(index).close()
                return

    def _write(self, out: OutputContainer, number: int, packet: Packet[Any]) -> None:
        if self._spool is not None:
            self._spool.add(number, packet)
        out.mux(packet)

    def _start_over(self, spool: Spool, error: BaseException) -> None:
        """Second attempt at the file, without the tracks that were not sure to fit."""
        for index, lane in list(self._lanes.items()):
            if not lane.proven:
                track = self._extras.tracks[index]
                self._problems.add(f"{track}: {reason_of(error)}; left out")
                self._lanes.pop(index).close()
        self._place.seek(0)
        self._place.truncate()
        parts = [part for part in self._kept if not part.lane or part.lane[0] in self._lanes]
        out = self._open(self._place, parts, self._encoder.copy_to)
        for packet, unit in spool.packets():
            if packet.track == VIDEO:
                out.mux(packet.to_av(self._encoder.stream, unit))
            elif packet.track in self._lanes:
                out.mux(packet.to_av(self._streams[packet.track], unit))
        spool.close()
        out.close()

    def _close_lanes(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        self._lanes = {}

    # --- opening ---------------------------------------------------------------------------

    def _opened(self) -> OutputContainer:
        if self._out is not None:
            return self._out
        for index, track in enumerate(self._extras.tracks):
            samples = [packet for packet in self._early if packet.track == index][:_SAMPLES]
            if track.usable and (lane := self._lane_for(track, samples)):
                self._lanes[index] = lane
        parts = self._settle(self._parts())
        self._kept = parts
        self._lanes = dict(part.lane for part in parts if part.lane)
        if not all(lane.proven for lane in self._lanes.values()):
            self._spool = Spool()
        self._out = self._open(self._place, parts)
        early, self._early = self._early, []
        for packet in early:
            self.write_packet(packet)
        return self._out

    def _parts(self) -> list[_Part]:
        extras = self._extras
        parts = [_Part(str(extras.tracks[i]), (i, lane)) for i, lane in self._lanes.items()]
        for key, value in extras.metadata.items():
            parts.append(_Part(f"tag {key!r} of the file", None, Extras(metadata={key: value})))
        for key, value in extras.video_metadata.items():
            tag = Extras(video_metadata={key: value})
            parts.append(_Part(f"tag {key!r} of the video", None, tag))
        for chapter in extras.chapters:
            parts.append(_Part(f"chapter {chapter.id}", None, Extras(chapters=(chapter,))))
        if (matrix := self._info.display_matrix) is not None:
            parts.append(_Part(f"display matrix {matrix}", None, Extras(display_matrix=matrix)))
        return parts

    def _settle(self, parts: list[_Part]) -> list[_Part]:
        """The parts with which the header can be written; a line for each of the others."""
        kept: list[_Part] = []

        def admit(more: list[_Part]) -> None:
            if not more or self._fits([*kept, *more]):
                kept.extend(more)
            elif len(more) == 1 or self._trials > _MAX_TRIALS:
                self._problems.add(
                    f"{more[0].name}: {title_of(self._format)} refuses it; left out"
                    + (f", with {len(more) - 1} others" if len(more) > 1 else "")
                )
            else:
                admit(more[: len(more) // 2])
                admit(more[len(more) // 2 :])

        admit(parts)
        return kept

    def _fits(self, parts: list[_Part]) -> bool:
        self._trials += 1
        try:
            self._open(nowhere(), parts).close()
        except (InputError, *REFUSALS):
            return False
        return True

    def _open(
        self, place: object, parts: Sequence[_Part], add_video: AddVideo | None = None
    ) -> OutputContainer:
        """The container with a written header.

        Args:
            place: takes the file.
            parts: its parts other than the video.
            add_video: adds the video's stream; by default, a new one.

        Raises:
            InputError: if the video encoder does not take its settings.
        """
        found = [part.extras for part in parts]
        tracks = [self._extras.tracks[part.lane[0]] for part in parts if part.lane]
        options = muxer_options(self._format, self._info.time_base, tracks)
        out = open_output(place, self._format, options)
        try:
            video_metadata = {k: v for one in found for k, v in one.video_metadata.items()}
            matrix = next((one.display_matrix for one in found if one.display_matrix), None)
            (add_video or self._encoder.add_to)(out, video_metadata, matrix)
            for part in parts:
                if part.lane:
                    self._streams[part.lane[0]] = part.lane[1].add_to(out)
            for one in found:
                out.metadata.update(one.metadata)
            _set_chapters(out, [chapter for one in found for chapter in one.chapters])
            try:
                out.start_encoding()
            except REFUSALS as error:
                info, crf = self._info, "" if self._crf is None else f", crf {self._crf:g}"
                raise InputError(
                    f"{self._codec} does not take these settings: {info.width}x{info.height}, time"
                    f" base {info.time_base}{crf} ({reason_of(error)})"
                ) from error
        except BaseException:
            with suppress(Exception):
                out.close()
            raise
        return out


def _set_chapters(out: OutputContainer, chapters: Sequence[Chapter]) -> None:
    out.set_chapters(
        [
            {"id": c.id, "start": c.start, "end": c.end, "time_base": c.time_base,
             "metadata": dict(c.metadata)}
            for c in chapters
        ]
    )  # fmt: skip
