"""Subtitles that are text, from one container's codec into another's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

from roicodec.media.containers import REFUSALS
from roicodec.media.parameters import open_header
from roicodec.media.rehearsal import Rehearsal
from roicodec.media.tracks import Problems, Track, TrackPacket

__all__ = ["TextLane"]

_TEXTS = {
    "ass", "jacosub", "microdvd", "mov_text", "mpl2", "pjs", "realtext", "sami", "ssa", "stl",
    "subrip", "subviewer", "subviewer1", "text", "vplayer", "webvtt",
}  # fmt: skip
"""FFmpeg's names of the codecs that hold text."""
_UNIT = Fraction(1, 1000)
"""Seconds per unit of the new track's time stamps."""
_STYLED = {"ass", "ssa"}
_TARGETS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}


class TextLane:
    """Lane that decodes each subtitle and codes it again for the container.

    Args:
        track: of kind ``subtitle``.
        format: FFmpeg's name of the muxer.
        problems: takes lines on packets that cannot be decoded.

    Attributes:
        codec: FFmpeg's name of the codec that the track gets.
        loses_styles: whether places and fonts of the texts are lost.

    Raises:
        ValueError, av.FFmpegError: if the track is not text, or the container holds none.
        StreamError: if the track's parameters are damaged.
    """

    proven = True

    def __init__(self, track: Track, format: str, problems: Problems) -> None:
        if track.codec not in _TEXTS or format not in _TARGETS:
            raise ValueError(f"{track.codec} is not text, or {format} holds none")
        self.codec = _TARGETS[format]
        self.loses_styles = track.codec in _STYLED
        self._track, self._problems = track, problems
        self._refused = 0
        with ExitStack() as opened:
            stream = opened.enter_context(open_header(track))
            if not isinstance(stream, SubtitleStream):
                raise ValueError(f"{track.codec} is not a subtitle")
            self._decoder: SubtitleCodecContext = stream.codec_context
            self._decoder.open(strict=False)
            self._rehearsal = Rehearsal(self.add_to, format)
            self._opened = opened.pop_all()

    def add_to(self, out: OutputContainer) -> Stream:
        stream = out.add_stream(self.codec)
        assert isinstance(stream, SubtitleStream)
        # FFmpeg reads it up to a zero that it takes to be there, beyond the size.
        stream.codec_context.subtitle_header = (self._decoder.subtitle_header or b"") + b"\0"
        stream.codec_context.time_base = stream.time_base = _UNIT
        stream.metadata.update(self._track.metadata)
        stream.disposition = Disposition(self._track.disposition)
        return stream

    def packets(self, packet: TrackPacket, stream: Stream) -> Sequence[Packet[Stream]]:
        assert isinstance(stream, SubtitleStream)
        if packet.pts is None or not packet.data:
            return ()
        try:
            shown = self._decoder.decode2(packet.to_av(stream, self._track.time_base))
            if shown is None or not len(shown):
                return ()
            text = stream.codec_context.encode_subtitle(shown)
        except REFUSALS:
            self._refused += 1
            return ()
        coded = replace(packet, dts=packet.pts, key=True, data=bytes(text), side_data=())
        made = coded.to_av(stream, self._track.time_base)
        if self._rehearsal.refusal(made) is not None:
            self._refused += 1
            return ()
        made.stream = stream
        return (made,)

    def flush(self, stream: Stream) -> Sequence[Packet[Stream]]:
        if self._refused:
            self._problems.add(
                f"{self._track}: {self._refused} texts cannot be read or written; left out"
            )
        return ()

    def close(self) -> None:
        self._rehearsal.close()
        self._opened.close()
