"""What a file carries beside its pictures: tracks, their packets, metadata, chapters.

A track's codec parameters are stored as a small media file (Matroska where it can hold the codec,
else MP4 or NUT) with this one track and one placeholder packet: FFmpeg writes them and reads
them back, so that nothing a muxer may need is lost on the way. Packets are stored as they are.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self, get_args

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet, PacketSideData, PktSideDataT
from av.stream import AttachmentStream, Disposition, Stream

from roicodec.bitstream.fields import Cursor, blob, fraction, signed, text, varint
from roicodec.errors import StreamError

__all__ = ["Chapter", "Extras", "Track", "TrackPacket", "add_track", "describe"]

_KINDS = ("audio", "subtitle", "video", "attachment")
_HEADER_FORMATS: dict[str, dict[str, str]] = {
    "matroska": {},
    "mp4": {"movflags": "empty_moov+default_base_moof"},
    "mov": {"movflags": "empty_moov+default_base_moof"},
    "nut": {},
}
_LATEST = 1 << 62
_SIDE_DATA: tuple[str, ...] = get_args(PktSideDataT)
_USUAL_LAYOUTS = {
    "1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1", "8 channels": "7.1",
}  # fmt: skip
_STALE_METADATA = {
    "encoder", "duration", "major_brand", "minor_version", "compatible_brands", "vendor_id",
    "handler_name", "number_of_frames", "number_of_bytes",
}  # fmt: skip
"""Written anew by whatever writes the file."""


def _put_metadata(metadata: Mapping[str, str]) -> bytes:
    pairs = (text(key) + text(value) for key, value in metadata.items())
    return varint(len(metadata)) + b"".join(pairs)


def _get_metadata(data: Cursor) -> dict[str, str]:
    return {data.text(): data.text() for _ in range(data.varint())}


def _get_time_base(data: Cursor) -> Fraction:
    value = data.fraction()
    if not value:
        raise StreamError("a media track has the time base 0")
    return value


def lasting_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Without the entries that describe the file they came from rather than its content."""
    lasting = {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _STALE_METADATA and (key, value) != ("language", "und")
    }
    if "name" in lasting:  # how MP4 reads back what every format is given as the title
        lasting.setdefault("title", lasting.pop("name"))
    return lasting


@dataclass(frozen=True, slots=True)
class Track:
    """A track that is carried by stream copy.

    Attributes:
        kind: ``audio``, ``subtitle``, ``video`` (a still such as cover art) or ``attachment``.
        codec: FFmpeg's name of the codec; empty for an attachment.
        time_base: seconds per unit of its packets' time stamps.
        disposition: FFmpeg's ``AV_DISPOSITION`` bits (default, forced, ...).
        metadata: language, title and so on; an attachment's ``filename`` and ``mimetype``.
        header_format: FFmpeg's name of the format of ``header``; empty for an attachment.
        header: a file with the codec parameters of this track, or an attachment's content.
        sample_rate, layout, bit_rate: of audio; 0, empty and 0 when unknown.
    """

    kind: str
    codec: str
    time_base: Fraction
    disposition: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    header_format: str = ""
    header: bytes = field(default=b"", repr=False)
    sample_rate: int = 0
    layout: str = ""
    bit_rate: int = 0

    def __str__(self) -> str:
        language = self.metadata.get("language", "und")
        parts = [f"{self.kind} track", self.metadata.get("filename", self.codec)]
        return " ".join(parts) + (f" ({language})" if language != "und" else "")

    def to_bytes(self) -> bytes:
        """Fields in this order; see :mod:`roicodec.bitstream.fields` for their types."""
        return b"".join(
            [
                varint(_KINDS.index(self.kind)),
                text(self.codec),
                fraction(self.time_base),
                varint(self.disposition),
                _put_metadata(self.metadata),
                varint(self.sample_rate),
                text(self.layout),
                varint(self.bit_rate),
                text(self.header_format),
                blob(self.header),
            ]
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """
        Raises:
            StreamError: if the payload is malformed.
        """
        data = Cursor(payload)
        kind = data.varint()
        if kind >= len(_KINDS):
            raise StreamError(f"media track of unknown kind {kind}")
        codec, time_base, disposition = data.text(), _get_time_base(data), data.varint()
        metadata, sample_rate, layout = _get_metadata(data), data.varint(), data.text()
        bit_rate, header_format, header = data.varint(), data.text(), data.blob()
        data.end()
        return cls(
            _KINDS[kind], codec, time_base, disposition, metadata, header_format, header,
            sample_rate, layout, bit_rate,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrackPacket:
    """A packet of a track, as the source file holds it.

    Attributes:
        track: index in :attr:`Extras.tracks`.
        pts, dts: in units of the track's time base; None when the file gives none.
        duration: in the same units; 0 when unknown.
        key: whether decoding can start here.
        data: the coded bytes.
        side_data: pairs of FFmpeg's name of the kind and the bytes.
    """

    track: int
    pts: int | None
    dts: int | None
    duration: int
    key: bool
    data: bytes = field(repr=False)
    side_data: tuple[tuple[str, bytes], ...] = ()

    def to_bytes(self) -> bytes:
        """Track, flags (1 key, 2 pts, 4 dts), pts, dts - pts, duration, side data, data."""
        flags = self.key | (self.pts is not None) << 1 | (self.dts is not None) << 2
        out = [varint(self.track), varint(flags)]
        if self.pts is not None:
            out.append(signed(self.pts))
        if self.dts is not None:
            out.append(signed(self.dts - (self.pts or 0)))
        out += [varint(self.duration), varint(len(self.side_data))]
        out += [text(kind) + blob(data) for kind, data in self.side_data]
        return b"".join([*out, self.data])

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """
        Raises:
            StreamError: if the payload is malformed.
        """
        data = Cursor(payload)
        track, flags = data.varint(), data.varint()
        if flags > 7:
            raise StreamError(f"media packet with unknown flags {flags}")
        pts = data.signed() if flags & 2 else None
        dts = data.signed() + (pts or 0) if flags & 4 else None
        duration = data.varint()
        if not all(-_LATEST <= time <= _LATEST for time in (pts or 0, dts or 0, duration)):
            raise StreamError("a media packet's time stamp is out of range")
        side_data = tuple((data.text(), data.blob()) for _ in range(data.varint()))
        return cls(track, pts, dts, duration, bool(flags & 1), data.rest(), side_data)

    @classmethod
    def from_av(cls, packet: Packet[Stream], track: int) -> Self:
        side_data = tuple((s.data_type, bytes(s)) for s in packet.iter_sidedata())
        return cls(
            track, packet.pts, packet.dts, max(packet.duration or 0, 0), packet.is_keyframe,
            bytes(packet), side_data,
        )  # fmt: skip

    def to_av(self, stream: Stream, time_base: Fraction) -> Packet[Stream]:
        packet: Packet[Stream] = Packet(self.data)
        packet.stream = stream
        packet.time_base = time_base
        packet.pts, packet.dts = self.pts, self.dts if self.dts is not None else self.pts
        packet.duration = self.duration
        packet.is_keyframe = self.key
        for kind, data in self.side_data:
            if kind in _SIDE_DATA and data:
                copy = PacketSideData(_SIDE_DATA.index(kind), len(data))  # type: ignore[call-arg]
                copy.update(data)
                packet.set_sidedata(copy, move=True)
        return packet


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter of the source file; ``start`` and ``end`` in units of ``time_base``."""

    id: int
    start: int
    end: int
    time_base: Fraction
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Extras:
    """All of a file that is not its pictures or packets.

    Attributes:
        tracks: the tracks carried beside the video.
        metadata: of the file (title, creation time, ...).
        video_metadata: of the video track.
        chapters: in order.
        display_matrix: as in :class:`roicodec.media.VideoInfo`.
    """

    tracks: tuple[Track, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    video_metadata: Mapping[str, str] = field(default_factory=dict)
    chapters: tuple[Chapter, ...] = ()
    display_matrix: tuple[int, ...] | None = None

    def to_bytes(self) -> bytes:
        """Fields in the order of the attributes, lists after their length."""
        out = [varint(len(self.tracks)), *(blob(t.to_bytes()) for t in self.tracks)]
        out += [_put_metadata(self.metadata), _put_metadata(self.video_metadata)]
        out.append(varint(len(self.chapters)))
        for c in self.chapters:
            out += [signed(c.id), signed(c.start), signed(c.end)]
            out += [fraction(c.time_base), _put_metadata(c.metadata)]
        matrix = self.display_matrix or ()
        out += [varint(len(matrix)), *map(signed, matrix)]
        return b"".join(out)

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """
        Raises:
            StreamError: if the payload is malformed.
        """
        data = Cursor(payload)
        tracks = tuple(Track.from_bytes(data.blob()) for _ in range(data.varint()))
        metadata, video_metadata = _get_metadata(data), _get_metadata(data)
        chapters = []
        for _ in range(data.varint()):
            identity, start, end = data.signed(), data.signed(), data.signed()
            chapters.append(
                Chapter(identity, start, end, _get_time_base(data), _get_metadata(data))
            )
        matrix = tuple(data.signed() for _ in range(data.varint()))
        if len(matrix) not in (0, 9):
            raise StreamError(f"display matrix of {len(matrix)} numbers instead of 9")
        data.end()
        return cls(tracks, metadata, video_metadata, tuple(chapters), matrix or None)


# --- codec parameters ------------------------------------------------------------------------


def _parameters(stream: Stream) -> tuple[object, ...]:
    context = stream.codec_context
    found: tuple[object, ...] = (context.name, context.extradata or b"")
    if isinstance(stream, AudioStream):
        found += (stream.codec_context.sample_rate, stream.codec_context.layout.nb_channels)
    return found


def _header(stream: Stream, format: str) -> bytes:
    file = io.BytesIO()
    options = {"fflags": "+bitexact", "strict": "-2", **_HEADER_FORMATS[format]}
    with av.open(file, "w", format=format, options=options) as out:
        copy = out.add_stream_from_template(stream, opaque=True)
        out.start_encoding()
        placeholder: Packet[Stream] = Packet(bytes(8))
        placeholder.stream, placeholder.time_base = copy, Fraction(1, 1000)
        placeholder.pts = placeholder.dts = 0
        placeholder.duration, placeholder.is_keyframe = 1, True
        out.mux(placeholder)
    return file.getvalue()


def _open_header(header: bytes, format: str) -> InputContainer:
    return av.open(io.BytesIO(header), "r", format=format)


def describe(stream: Stream) -> Track | None:
    """The track that ``stream`` of an open input is; None if it cannot be carried."""
    time_base = stream.time_base or Fraction(1, 1000)
    disposition, metadata = int(stream.disposition), lasting_metadata(stream.metadata)
    if isinstance(stream, AttachmentStream):
        return Track("attachment", "", time_base, disposition, metadata, header=stream.data)
    if stream.type not in _KINDS or not stream.codec_context:
        return None
    rate, layout, bit_rate = 0, "", 0
    if isinstance(stream, AudioStream):
        context = stream.codec_context
        rate, layout, bit_rate = context.sample_rate, context.layout.name, context.bit_rate or 0
    codec = stream.codec_context.codec.canonical_name
    for format in _HEADER_FORMATS:
        try:
            header = _header(stream, format)
            with _open_header(header, format) as back:
                if _parameters(back.streams[0]) == _parameters(stream):
                    return Track(
                        stream.type, codec, time_base, disposition, metadata, format, header,
                        rate, layout, bit_rate,
                    )  # fmt: skip
        except (av.FFmpegError, ValueError, IndexError):
            continue
    return None


def add_track(out: OutputContainer, track: Track) -> Stream:
    """Add a stream with ``track``'s parameters to an output whose header is not yet written.

    Raises:
        ValueError, av.FFmpegError: if the container cannot hold it.
        StreamError: if the track's header is not what it should be.
    """
    if track.kind == "attachment":
        name = track.metadata.get("filename", "attachment")
        mimetype = track.metadata.get("mimetype", "application/octet-stream")
        return out.add_attachment(name, mimetype, track.header)
    if track.header_format not in _HEADER_FORMATS:
        raise StreamError(f"{track}: header in unknown format {track.header_format!r}")
    try:
        source = _open_header(track.header, track.header_format)
    except (av.FFmpegError, ValueError) as error:
        raise StreamError(f"{track}: its header is damaged") from error
    with source:
        stream = out.add_stream_from_template(source.streams[0], opaque=True)
    if isinstance(stream, AudioStream):
        # Matroska and AVI give a bare number of channels; MP4 wants to know their places.
        layout = _USUAL_LAYOUTS.get(track.layout, track.layout)
        if layout:
            stream.codec_context.layout = layout
        if track.bit_rate:
            stream.codec_context.bit_rate = track.bit_rate
    stream.time_base = track.time_base
    stream.metadata.update(track.metadata)
    stream.disposition = Disposition(track.disposition)
    return stream
