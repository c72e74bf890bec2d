"""The part of a file that is chosen: pictures by number, other tracks by time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

from roicodec.errors import InputError
from roicodec.media.tracks import Track, TrackPacket
from roicodec.picture import Picture

__all__ = ["Cut", "moved", "span"]


def span(packet: TrackPacket, time_base: Fraction) -> tuple[Fraction, Fraction]:
    """Start and end of a packet, in seconds."""
    start = packet.pts if packet.pts is not None else packet.dts or 0
    return start * time_base, (start + packet.duration) * time_base


def moved(packet: TrackPacket, delay: Fraction, time_base: Fraction) -> TrackPacket:
    """``packet``, ``delay`` seconds later."""
    ticks = round(delay / time_base)
    if not ticks:
        return packet
    return replace(
        packet,
        pts=None if packet.pts is None else packet.pts + ticks,
        dts=None if packet.dts is None else packet.dts + ticks,
    )


@dataclass(frozen=True, slots=True)
class Cut:
    """Frames ``start`` up to, not including, ``stop`` (None: to the end).

    Attributes:
        name: of the source, for messages.
        tracks: whose packets come between the pictures.
        time_base: seconds per unit of the pictures' time stamps.
    """

    name: str
    start: int
    stop: int | None
    tracks: Sequence[Track]
    time_base: Fraction

    def __call__(self, items: Iterator[Picture | TrackPacket]) -> Iterator[Picture | TrackPacket]:
        number = first = begin = 0
        held: deque[TrackPacket] = deque()
        end: Fraction | None = None

        def chosen(until: Fraction | None) -> Iterator[TrackPacket]:
            """The held packets of the cut that start before ``until``."""
            low = begin * self.time_base
            later: list[TrackPacket] = []
            for packet in held:
                opens, closes = self._span(packet)
                if until is not None and opens >= until:
                    later.append(packet)
                elif packet.pts is None and packet.dts is None:
                    yield packet  # a still picture belongs to no moment
                elif closes > low or opens >= low:
                    if opens < low and self.tracks[packet.track].kind == "subtitle":
                        packet = self._cropped(packet, low)
                    yield moved(
                        packet, (first - begin) * self.time_base,
                        self.tracks[packet.track].time_base,
                    )  # fmt: skip
            held.clear()
            held.extend(later)

        while True:
            try:
                item = next(items, None)
            except InputError:
                if number != self.stop:
                    raise
                break  # damage after the cut is none of its business
            if item is None:
                break
            if isinstance(item, TrackPacket):
                held.append(item)
                continue
            now = item.pts * self.time_base
            if number == 0:
                first = item.pts
            if number == self.start:
                begin = item.pts
            if number == self.stop:
                end = now
                break
            if number >= self.start:
                yield from chosen(now)
                yield replace(item, pts=item.pts - begin + first)
            else:
                held = deque(p for p in held if p.pts is None or self._span(p)[1] > now)
            number += 1
        if number <= self.start:
            raise InputError(
                f"{self.name}: has only {number} frames; {self.start} and later are asked for",
                parameter="frames",
            )
        if end is not None:
            with suppress(InputError):
                held.extend(self._rest_until(items, end))
        yield from chosen(end)

    def _cropped(self, packet: TrackPacket, start: Fraction) -> TrackPacket:
        """A subtitle that is already on show at ``start``, from there on."""
        pts = math.ceil(start / self.tracks[packet.track].time_base)
        shown = pts - (packet.pts or 0)
        return replace(packet, pts=pts, dts=pts, duration=max(packet.duration - shown, 0))

    def _span(self, packet: TrackPacket) -> tuple[Fraction, Fraction]:
        return span(packet, self.tracks[packet.track].time_base)

    def _rest_until(
        self, items: Iterator[Picture | TrackPacket], end: Fraction
    ) -> Iterator[TrackPacket]:
        """Packets that start before ``end`` but come later in the file."""
        audio = {i for i, t in enumerate(self.tracks) if t.kind == "audio"}
        while audio and (item := next(items, None)) is not None:
            if isinstance(item, TrackPacket):
                if self._span(item)[0] >= end:
                    audio.discard(item.track)
                yield item
            elif item.pts * self.time_base > end + 2:
                return
