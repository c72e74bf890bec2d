"""Ways of a track into a container: copied packet by packet, or as an attachment."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from roicodec.media.containers import REFUSALS, open_output
from roicodec.media.parameters import add_track
from roicodec.media.rehearsal import Rehearsal
from roicodec.media.tracks import SIDE_DATA, Problems, Track, TrackPacket

__all__ = ["AttachmentLane", "CopyLane", "Lane", "picture_lane", "reason_of"]

_CLEAR = b"\0\0"
"""A mov_text packet that clears the screen: the MP4 muxer makes these itself, from durations."""
IMAGES = {
    "mjpeg": ("image/jpeg", "cover.jpg"),
    "png": ("image/png", "cover.png"),
    "gif": ("image/gif", "cover.gif"),
    "bmp": ("image/bmp", "cover.bmp"),
    "tiff": ("image/tiff", "cover.tif"),
    "webp": ("image/webp", "cover.webp"),
}
"""MIME type and usual name of a still by FFmpeg's name of its codec."""


class Lane(Protocol):
    """The way of one track into an output.

    Attributes:
        proven: whether it is sure that the output can be completed with it.
    """

    @property
    def proven(self) -> bool: ...

    def add_to(self, out: OutputContainer) -> Stream:
        """A stream for the track in ``out``, whose header is not yet written."""

    def packets(self, packet: TrackPacket, stream: Stream) -> Sequence[Packet[Stream]]:
        """Output of a packet of the track: packets for ``stream``."""

    def flush(self, stream: Stream) -> Sequence[Packet[Stream]]:
        """The packets that were held back."""

    def close(self) -> None:
        """Release of what the lane holds."""


def reason_of(error: BaseException) -> str:
    """FFmpeg's message, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class CopyLane:
    """Packets as they came, each rehearsed.

    Args:
        track: the track.
        format: FFmpeg's name of the muxer.
        samples: some of its packets.
        problems, warnings: take lines on what is damaged, and on what is corrected.

    Attributes:
        proven: whether a file with this track was completed and read back.

    Raises:
        ValueError, av.FFmpegError: if the container cannot hold the track.
        StreamError: if the track's parameters are damaged.
    """

    def __init__(
        self, track: Track, format: str, samples: Sequence[TrackPacket], problems: Problems,
        warnings: list[str],
    ) -> None:  # fmt: skip
        self._track, self._problems, self._warnings = track, problems, warnings
        self._last: int | None = None
        self._refused = 0
        self.proven = _proven(track, format, samples)
        self._rehearsal = Rehearsal(self.add_to, format)

    def add_to(self, out: OutputContainer) -> Stream:
        return add_track(out, self._track)

    def packets(self, packet: TrackPacket, stream: Stream) -> Sequence[Packet[Stream]]:
        track = self._track
        if track.codec == "mov_text" and packet.data == _CLEAR:
            return ()
        if strange := [kind for kind, _ in packet.side_data if kind not in SIDE_DATA]:
            self._tell(f"{track}: side data {strange[0]!r} of a packet has no place; left out")
        try:
            copy = packet.to_av(self._rehearsal.stream, track.time_base)
            if copy.dts is not None:
                self._order(copy)
            refusal = self._rehearsal.refusal(copy)
        except REFUSALS as error:
            refusal = error
        if refusal is not None:
            self._refuse(reason_of(refusal))
            return ()
        copy.stream = stream
        return (copy,)

    def flush(self, stream: Stream) -> Sequence[Packet[Stream]]:
        if self._refused > 1:
            self._problems.add(f"{self._track}: {self._refused} such packets in all")
        return ()

    def close(self) -> None:
        self._rehearsal.close()

    def _order(self, packet: Packet[Stream]) -> None:
        """Time stamps of decoding must increase, in units of the output."""
        unit = self._rehearsal.stream.time_base or self._track.time_base
        assert packet.dts is not None
        moved = round(packet.dts * packet.time_base / unit)
        if self._last is not None and moved <= self._last:
            late = packet.pts - packet.dts if packet.pts is not None else 0
            moved = self._last + 1
            packet.duration = round((packet.duration or 0) * packet.time_base / unit)
            packet.pts = moved + max(round(late * packet.time_base / unit), 0)
            packet.dts, packet.time_base = moved, unit
            message = f"{self._track}: time stamps do not increase; corrected"
            if message not in self._warnings:
                self._warnings.append(message)
        self._last = moved

    def _tell(self, message: str) -> None:
        if message not in self._problems:
            self._problems.add(message)

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        if self._refused == 1:
            self._problems.add(f"{self._track}: a packet is refused ({reason}) and left out")


def _proven(track: Track, format: str, samples: Sequence[TrackPacket]) -> bool:
    """Whether a file of one packet of the track can be completed and read.

    Some muxers take junk for codec parameters and notice it at the end, or never.

    Raises:
        ValueError: if the file can be completed, but not read.
        StreamError: as :func:`add_track`.
    """
    nothing = TrackPacket(0, 0, 0, 1, True, bytes(8))
    for sample in samples or [nothing]:
        file = io.BytesIO()
        try:
            with open_output(file, format, {"strict": "-2"}) as out:
                out.mux(replace(sample, pts=0, dts=0).to_av(add_track(out, track), track.time_base))
        except REFUSALS:
            continue
        try:
            av.open(io.BytesIO(file.getvalue()), "r", metadata_errors="surrogateescape").close()
        except REFUSALS:
            raise ValueError("with its parameters the file could not be read") from None
        return True
    return False


class AttachmentLane:
    """A file that stands in the header of the output."""

    proven = True

    def __init__(self, track: Track) -> None:
        self._track = track

    def add_to(self, out: OutputContainer) -> Stream:
        return add_track(out, self._track)

    def packets(self, packet: TrackPacket, stream: Stream) -> Sequence[Packet[Stream]]:
        return ()

    def flush(self, stream: Stream) -> Sequence[Packet[Stream]]:
        return ()

    def close(self) -> None:
        pass


def picture_lane(track: Track, packets: Sequence[TrackPacket]) -> AttachmentLane | None:
    """A still such as cover art as Matroska has it, an attachment; None if that cannot be.

    Args:
        track: of kind ``video``.
        packets: of which the first with data is the picture.
    """
    picture = next((packet.data for packet in packets if packet.data), b"")
    if not picture or track.codec not in IMAGES:
        return None
    mimetype, name = IMAGES[track.codec]
    metadata = {"filename": name, "mimetype": mimetype, **track.metadata}
    return AttachmentLane(Track("attachment", "", track.time_base, 0, metadata, header=picture))
