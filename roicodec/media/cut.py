"""Cutting of a part out of a file: pictures, and the packets of other tracks by their times."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

from roicodec.errors import InputError
from roicodec.media.part import Part
from roicodec.media.tracks import Track, TrackPacket
from roicodec.picture import Picture

__all__ = ["Cut", "Item", "moved", "span"]

_AHEAD = 2
"""Seconds of pictures after the cut within which packets are looked for that belong to it."""


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


Item = tuple[int, Picture] | TrackPacket
"""A picture with its number, or a packet of another track."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a video, which starts at the time at which the whole video does.

    Attributes:
        name: of the source, for messages.
        part: which pictures.
        tracks: whose packets come between the pictures.
        time_base: seconds per unit of the pictures' time stamps.
        origin: time stamp of the video's first picture, asked for with the first one that comes;
            None if that is the first.
        seen: number of the video's pictures so far, those included that did not come; None if
            there are none of these.
        ended: called when no more pictures are needed; packets may still be.
    """

    name: str
    part: Part
    tracks: Sequence[Track]
    time_base: Fraction
    origin: Callable[[], int] | None = None
    seen: Callable[[], int] | None = None
    ended: Callable[[], None] | None = None

    def __call__(self, items: Iterator[Item]) -> Iterator[Picture | TrackPacket]:
        number = -1
        first = begin = 0
        begun = started = False
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
                if number + 1 != self.part.stop:
                    raise
                break  # damage after the cut is none of its business
            if item is None:
                break
            if isinstance(item, TrackPacket):
                held.append(item)
                continue
            number, picture = item
            now = picture.pts * self.time_base
            if not started:
                first, started = self.origin() if self.origin else picture.pts, True
            if self.part.is_behind(number, now):
                end = now
                break
            if not begun:
                if self.part.precedes(number, now):
                    held = deque(p for p in held if p.pts is None or self._span(p)[1] > now)
                    continue
                begin, begun = picture.pts, True
            yield from chosen(now)
            yield replace(picture, pts=picture.pts - begin + first)
        if not begun:
            raise self._missing(max(number + 1, self.seen() if self.seen else 0))
        if self.ended:
            self.ended()
        if end is not None:
            with suppress(InputError):
                held.extend(self._rest_until(items, end))
        yield from chosen(end)

    def _missing(self, count: int) -> InputError:
        """The error that the part is not there, in a video of so many pictures."""
        if self.part.start is None and self.part.end is None:
            return InputError(
                f"{self.name}: has only {count} frames; {self.part.first} and later are asked for",
                parameter="frames",
            )
        return InputError(f"{self.name}: has no picture from {self.part}", parameter="start")

    def _cropped(self, packet: TrackPacket, start: Fraction) -> TrackPacket:
        """A subtitle that is already on show at ``start``, from there on."""
        pts = math.ceil(start / self.tracks[packet.track].time_base)
        shown = pts - (packet.pts or 0)
        return replace(packet, pts=pts, dts=pts, duration=max(packet.duration - shown, 0))

    def _span(self, packet: TrackPacket) -> tuple[Fraction, Fraction]:
        return span(packet, self.tracks[packet.track].time_base)

    def _rest_until(self, items: Iterator[Item], end: Fraction) -> Iterator[TrackPacket]:
        """Packets that start before ``end`` but come later in the file."""
        audio = {i for i, t in enumerate(self.tracks) if t.kind == "audio"}
        while audio and (item := next(items, None)) is not None:
            if isinstance(item, TrackPacket):
                if self._span(item)[0] >= end:
                    audio.discard(item.track)
                yield item
            elif item[1].pts * self.time_base > end + _AHEAD:
                return
