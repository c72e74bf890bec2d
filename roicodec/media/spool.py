"""Packets kept until an output is complete, in case it has to be written a second time."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.packet import Packet

from roicodec.media.tracks import MAX_TRACKS, TrackPacket

__all__ = ["VIDEO", "Spool"]

VIDEO = MAX_TRACKS - 1
"""Number by which packets of the video go, after those of all tracks but one."""
_LENGTH = struct.Struct(">Q")


class Spool:
    """A temporary file of packets, in the order in which they were muxed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._units: dict[int, Fraction] = {}

    def add(self, number: int, packet: Packet[Any]) -> None:
        """Next packet of the track with a number."""
        self._units[number] = packet.time_base
        content = TrackPacket.from_av(packet, number).to_bytes()
        self._file.write(_LENGTH.pack(len(content)) + content)

    def packets(self) -> Iterator[tuple[TrackPacket, Fraction]]:
        """All packets, and the seconds per unit of their time stamps."""
        self._file.seek(0)
        while header := self._file.read(_LENGTH.size):
            (length,) = _LENGTH.unpack(header)
            packet = TrackPacket.from_bytes(self._file.read(length))
            yield packet, self._units[packet.track]

    def close(self) -> None:
        """Release of all packets."""
        self._file.close()
