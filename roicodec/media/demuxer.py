"""Packets of a source, as long as there are any, on a clock without leaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from roicodec.media.damage import DamageLog
from roicodec.media.source import Opened

__all__ = ["Demuxer"]

_PATIENCE = 100
"""Errors in a row after which the rest of a file is given up."""
_TS_DISCONT = 0x200
"""FFmpeg's flag of a format whose time stamps may leap."""
_LEAP = Fraction(10)
"""Seconds that a clock may leap forward in a format whose clock may (as of FFmpeg's tools)."""
_BACK = Fraction(1, 10)
_ERROR_LEAP = Fraction(30 * 3600)
"""Seconds that time stamps may leap forward in other formats, and back."""
_ERROR_BACK = Fraction(10)

_UNEVEN = Fraction(1)
"""Seconds by which one track may end after another where the clock leaps."""


class Demuxer:
    """Reader of packets; errors are counted, and reading goes on behind them.

    Where the clock leaps, all that follows is moved so that it goes on: as in a transport stream
    that was put together from several.

    Args:
        opened: the source.
        streams: whose packets are wanted.
        damage: takes what is wrong.

    Attributes:
        packets: number of packets with data so far, by the index of their stream.
        position: end of the last packet in the file, in bytes.
        leaps: seconds by which the clock leapt, in order.
    """

    def __init__(self, opened: Opened, streams: Sequence[Stream], damage: DamageLog) -> None:
        self._opened, self._streams, self._damage = opened, streams, damage
        may_leap = bool(opened.container.format.flags & _TS_DISCONT)
        self._forward = _LEAP if may_leap else _ERROR_LEAP
        self._back = _BACK if may_leap else _ERROR_BACK
        self._due: dict[int, Fraction] = {}
        self._last: dict[int, Fraction] = {}
        self._offset = Fraction(0)
        self.packets: dict[int, int] = {}
        self.position = 0
        self.leaps: list[Fraction] = []
        self.leap_frame = 0

    def __iter__(self) -> Iterator[Packet[Stream]]:
        """Packets in order of the file; at the end an empty one for each stream."""
        errors = 0
        while True:
            packets = self._opened.container.demux(self._streams)
            try:
                while True:
                    packet = self._opened.call(lambda: next(packets, None))  # noqa: B023
                    if packet is None:
                        return
                    errors = 0
                    if packet.size:
                        self._count(packet)
                        self._close_leap(packet)
                    yield packet
            except av.FFmpegError as error:
                reason = error.strerror or type(error).__name__
                self._damage.add(
                    f"reading fails ({reason})", "reading fails {} times",
                )  # fmt: skip
                errors += 1
                if errors >= _PATIENCE or isinstance(error, av.error.ExitError | TimeoutError):
                    yield from self._flush()
                    return

    def _flush(self) -> Iterator[Packet[Stream]]:
        for stream in self._streams:
            packet: Packet[Stream] = Packet()
            packet.stream = stream
            yield packet

    def _count(self, packet: Packet[Stream]) -> None:
        index = packet.stream_index
        self.packets[index] = self.packets.get(index, 0) + 1
        if packet.pos is not None:
            self.position = max(self.position, packet.pos + packet.size)

    def _close_leap(self, packet: Packet[Stream]) -> None:
        unit = packet.time_base
        # Time stamps of presentation go back and forth where pictures are reordered.
        if packet.dts is not None and isinstance(packet.stream, VideoStream | AudioStream):
            now = packet.dts * unit + self._offset
            due = self._due.get(packet.stream_index)
            if due is not None:
                leap = now - due
                if leap > self._forward or now < self._last[packet.stream_index] - self._back:
                    # Where the longest track ended, so that none has to go back.
                    ends = (end for end in self._due.values() if end <= due + _UNEVEN)
                    begin = max(ends)
                    self._offset += begin - now
                    self.leap_frame = self.leap_frame or self._damage.frame
                    self.leaps.append(leap)
                    now = begin
            self._last[packet.stream_index] = now
            self._due[packet.stream_index] = now + (packet.duration or 0) * unit
        if self._offset:
            moved = round(self._offset / unit)
            packet.pts = None if packet.pts is None else packet.pts + moved
            packet.dts = None if packet.dts is None else packet.dts + moved
