"""Tracks other than the pictures, and their packets.

Packets are stored as they are; how a track's codec parameters are stored is in
:mod:`roicodec.media.parameters`. All fields are checked when they are read, before memory is taken
for what they announce.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Self, get_args

from roicodec.bitstream.fields import Cursor, blob, fraction, signed, text, varint
from roicodec.errors import StreamError

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

__all__ = [
    "DISPOSITIONS",
    "KINDS",
    "MAX_INT",
    "MAX_TICKS",
    "MAX_TRACKS",
    "SIDE_DATA",
    "UNUSABLE",
    "Problems",
    "Track",
    "TrackPacket",
    "get_metadata",
    "put_metadata",
]

MAX_TRACKS = 256
"""Tracks of a file; FFmpeg's muxers fail, or crash, with a thousand."""
_MAX_TAGS = 1024
_MAX_SIDE_DATA = 64
"""Side data of a packet; FFmpeg knows about forty kinds, of which each occurs once."""
MAX_INT = (1 << 31) - 1
"""Largest number in FFmpeg's fractions and rates."""
MAX_TICKS = 1 << 62
"""Distance of a time stamp from 0, in units of its time base."""
_MAX_UNIT = 10
"""Seconds per unit of a track's time stamps."""
KINDS = ("audio", "subtitle", "video", "attachment")
UNUSABLE = "unusable"
"""Kind of a track of which nothing but its place is known."""
DISPOSITIONS = 0x3F1FFF
"""All bits of FFmpeg's ``AV_DISPOSITION``."""
SIDE_DATA = frozenset(
    {
        "replay_gain", "skip_samples", "jp_dual_mono", "strings_metadata", "subtitle_position",
        "matroska_block_additional", "webvtt_identifier", "webvtt_settings", "mpegts_stream_id",
        "a53_cc", "afd", "prft", "iamf_mix_gain_param", "iamf_info_param",
        "iamf_recon_gain_info_param",
    }
)  # fmt: skip
"""Kinds that say something of their packet alone. Others change a track's parameters on the way,
which no output can hold: new parameters that are junk make some unreadable as a whole."""


class Problems(list[str]):
    """One line for each part that was left out; the first ten, then their number alone.

    Attributes:
        total: number of parts, those without a line included.
    """

    _SHOWN = 10

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def add(self, message: str) -> None:
        """One more problem: its text, or the number of those beyond the tenth."""
        self.total += 1
        if self.total <= self._SHOWN:
            self.append(message)
        else:
            self[self._SHOWN :] = [f"{self.total - self._SHOWN} more parts like these are left out"]


def put_metadata(metadata: Mapping[str, str]) -> bytes:
    """Number of entries, then the name and the value of each."""
    pairs = (text(key) + text(value) for key, value in metadata.items())
    return varint(len(metadata)) + b"".join(pairs)


def get_metadata(data: Cursor, owner: str, problems: Problems) -> dict[str, str]:
    """Metadata that :func:`put_metadata` has written.

    Args:
        data: from which it is taken.
        owner: whose it is, for messages.
        problems: takes a line for each entry that is left out.

    Raises:
        StreamError: if there is more than a file can have, or less than announced.
    """
    count = data.varint()
    if count > _MAX_TAGS:
        raise StreamError(f"{count} tags of {owner}, more than {_MAX_TAGS}")
    found = {}
    for _ in range(count):
        key, value = data.text(), data.text()
        if not key or "\0" in key + value:
            problems.add(f"tag {key!r} of {owner} has no name, or a zero in its text; left out")
        else:
            found[key] = value
    return found


def _get_time_base(data: Cursor) -> Fraction:
    value = data.fraction()
    if not 0 < value <= _MAX_UNIT or value.numerator > MAX_INT or value.denominator > MAX_INT:
        raise StreamError(f"time base {value} is out of range")
    return value


@dataclass(frozen=True, slots=True)
class Track:
    """A track that is carried by stream copy.

    Attributes:
        kind: ``audio``, ``subtitle``, ``video`` (a still such as cover art), ``attachment``, or
            ``unusable``: damaged in the stream, kept for the numbering.
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
        return " ".join(filter(None, parts)) + (f" ({language})" if language != "und" else "")

    @property
    def usable(self) -> bool:
        """False if nothing but the track's place is known."""
        return self.kind != UNUSABLE

    def to_bytes(self) -> bytes:
        """Fields in this order; see :mod:`roicodec.bitstream.fields` for their types."""
        return b"".join(
            [
                varint(KINDS.index(self.kind)),
                text(self.codec),
                fraction(self.time_base),
                varint(self.disposition),
                put_metadata(self.metadata),
                varint(self.sample_rate),
                text(self.layout),
                varint(self.bit_rate),
                text(self.header_format),
                blob(self.header),
            ]
        )

    @classmethod
    def from_bytes(cls, payload: bytes, problems: Problems | None = None) -> Self:
        """A track; fields without which it is of use are reset where they are out of range.

        Args:
            payload: as :meth:`to_bytes` writes it.
            problems: takes a line for each field that was reset.

        Raises:
            StreamError: if the payload is malformed.
        """
        problems = Problems() if problems is None else problems
        data = Cursor(payload)
        kind = data.varint()
        if kind >= len(KINDS):
            raise StreamError(f"unknown kind {kind}")
        codec, time_base, disposition = data.text(), _get_time_base(data), data.varint()
        owner = f"{KINDS[kind]} track {codec}".rstrip()
        metadata, rate = get_metadata(data, owner, problems), data.varint()
        layout, bit_rate = data.text(), data.varint()
        header_format, header = data.text(), data.blob()
        data.end()
        if disposition & ~DISPOSITIONS:
            problems.add(f"{owner}: disposition {disposition:#x} is unknown; left out")
            disposition = 0
        if rate > MAX_INT:
            problems.add(f"{owner}: sample rate {rate} is out of range; left out")
            rate = 0
        if bit_rate > MAX_INT:
            problems.add(f"{owner}: bit rate {bit_rate} is out of range; left out")
            bit_rate = 0
        return cls(
            KINDS[kind], codec, time_base, disposition, metadata, header_format, header, rate,
            layout, bit_rate,
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
        """Packet of a packet chunk's payload.

        Raises:
            StreamError: if the payload is malformed.
        """
        data = Cursor(payload)
        track, flags = data.varint(), data.varint()
        if track >= MAX_TRACKS:
            raise StreamError(f"packet of track {track}; there are at most {MAX_TRACKS}")
        if flags > 7:
            raise StreamError(f"packet of track {track} has unknown flags {flags}")
        pts = data.signed() if flags & 2 else None
        dts = data.signed() + (pts or 0) if flags & 4 else None
        duration = data.varint()
        if not all(-MAX_TICKS <= time <= MAX_TICKS for time in (pts or 0, dts or 0, duration)):
            raise StreamError(f"packet of track {track}: a time stamp is out of range")
        count = data.varint()
        if count > _MAX_SIDE_DATA:
            raise StreamError(
                f"packet of track {track} has {count} pieces of side data, more than"
                f" {_MAX_SIDE_DATA}"
            )
        side_data = tuple((data.text(), data.blob()) for _ in range(count))
        return cls(track, pts, dts, duration, bool(flags & 1), data.rest(), side_data)

    @classmethod
    def from_av(cls, packet: Packet[Stream], track: int) -> Self:
        """A packet as a demuxer gives it, of the track with number ``track``."""
        side_data = tuple(
            (s.data_type, bytes(s)) for s in packet.iter_sidedata() if s.data_type in SIDE_DATA
        )
        return cls(
            track, packet.pts, packet.dts, max(packet.duration or 0, 0), packet.is_keyframe,
            bytes(packet), side_data,
        )  # fmt: skip

    def to_av(self, stream: Stream, time_base: Fraction) -> Packet[Stream]:
        """A packet as a muxer takes it, for ``stream``, with the :data:`SIDE_DATA` that it has."""
        from av.packet import Packet, PacketSideData, PktSideDataT

        kinds: tuple[str, ...] = get_args(PktSideDataT)
        packet: Packet[Stream] = Packet(self.data)
        packet.stream = stream
        packet.time_base = time_base
        packet.pts, packet.dts = self.pts, self.dts if self.dts is not None else self.pts
        packet.duration = self.duration
        packet.is_keyframe = self.key
        for kind, data in self.side_data:
            if kind in SIDE_DATA and data:
                copy = PacketSideData(kinds.index(kind), len(data))  # type: ignore[call-arg]
                copy.update(data)
                packet.set_sidedata(copy, move=True)
        return packet
