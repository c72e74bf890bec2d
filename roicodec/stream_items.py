"""Pictures and packets of a stream in order, from its start or from the GOP of a part."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction

from roicodec.bitstream.chunks import PACKET, TRACK, Chunk, Damage
from roicodec.bitstream.constants import INTRA
from roicodec.bitstream.index import IndexEntry
from roicodec.bitstream.reader import StreamReader
from roicodec.errors import ReferenceLost, StreamError
from roicodec.factory import Decoded, PictureDecoder
from roicodec.media import Extras, Problems, TrackPacket
from roicodec.media.cut import Item, span
from roicodec.media.part import WHOLE, Part
from roicodec.picture import Picture
from roicodec.read_ahead import DecodedItem, ReadAhead

__all__ = ["StreamItems"]

_EARLY = 5
"""Seconds before a GOP within which packets may stand that belong to it."""
_LATE = 2
"""Seconds of frames after a part within which packets may stand that belong to it."""
_MAX_HELD = 1 << 26
"""Bytes of frames that are held until it shows whether their GOP is needed."""


class StreamItems:
    """Pictures and packets of a stream, in order.

    Of a stream that can be sought, nothing is decoded before the GOP in which the part begins. Of
    another one the GOPs before are read, not decoded. What cannot be decoded is told and left out.

    Args:
        reader: at the start of the stream.
        decoder: of its frames.
        part: the pictures that are needed; others may come, too.
        damage: takes a line on each damage.
        problems: takes what is wrong with the description of the tracks.
        shown: what is made of a decoded frame; by default its picture.

    Attributes:
        extras: tracks, tags and chapters.
        lost: frames that were damaged, or could not be decoded for want of another.
    """

    def __init__(
        self,
        reader: StreamReader,
        decoder: PictureDecoder[Decoded],
        part: Part,
        damage: Callable[[str], None],
        problems: Callable[[Problems], None],
        shown: Callable[[Decoded], Picture] | None = None,
    ) -> None:
        self.lost = 0
        self.extras = Extras()
        self._reader, self._damage = reader, damage
        self._part, self._shown = part, shown
        self._unit = reader.header.time_base
        self._items = iter(reader)
        self._ahead: deque[Chunk] = deque()
        self._held: list[Chunk] = []
        self._held_bytes = 0
        self._begun = part == WHOLE
        self._ended = self._far = False
        self._last: Fraction | None = None
        self._origin: int | None = None
        self._seen = 0
        self._low = part.start
        self._decoded = ReadAhead(self._needed(), reader.has_come, lambda: decoder)
        self._read_tracks(problems)
        if not self._begun:
            self._seek()

    def origin(self) -> int:
        """Time stamp of the stream's first frame; known once a picture has come."""
        return self._origin or 0

    def seen(self) -> int:
        """Number of frames so far, decoded or not."""
        return self._seen

    def end(self) -> None:
        """Notice that no more pictures are needed; some more packets come."""
        self._ended = True
        self._decoded.stop()

    def close(self) -> None:
        """End of what is decoded ahead."""
        self._decoded.close()

    def __iter__(self) -> Iterator[Item]:
        for item in self._decoded:
            chunk = item.chunk
            if isinstance(chunk, Damage):
                self._damage(chunk.message)
            elif chunk is None or chunk.frame is not None:
                if not self._ended:
                    yield from self._given(item)
                elif chunk is not None:
                    self._far = self._far or self._is_far(chunk)
                    if self._far:
                        break
            else:
                try:
                    packet = TrackPacket.from_bytes(chunk.payload)
                except StreamError as error:
                    self._damage(f"{chunk.type.strip()} chunk at byte {chunk.offset}: {error}")
                    continue
                if not self._is_early(packet):
                    yield packet
        self.close()
        if not self._far:
            self.lost += self._reader.frames_lost

    def _needed(self) -> Iterator[Chunk | Damage]:
        """Damages, packets, and the frames that are to be decoded."""
        while True:
            item = self._ahead.popleft() if self._ahead else next(self._items, None)
            if item is None:
                return
            if isinstance(item, Damage) or item.type == PACKET:
                yield item
            elif self._ended:
                self._far = self._is_far(item)
                if self._far:
                    return
            elif item.frame is not None:
                yield from self._frame(item)

    # --- where to begin ---------------------------------------------------------------------

    def _read_tracks(self, problems: Callable[[Problems], None]) -> None:
        """Reading up to the tracks, which come before all frames and packets."""
        for item in self._items:
            if isinstance(item, Damage):
                self._damage(item.message)
                continue
            if item.type == TRACK:
                found = Problems()
                self.extras = Extras.from_bytes(item.payload, found)
                problems(found)
            elif item.type == PACKET or item.frame is not None:
                self._ahead.append(item)
            if item.type == TRACK or self._ahead:
                return

    def _seek(self) -> None:
        """Jump to where packets of the part may begin, if the index tells."""
        try:
            entries = self._reader.index()
        except StreamError:
            return
        if not entries:
            return
        first = self._last_before(entries, self._part)
        self._origin = entries[0].pts
        self._low = first.pts * self._unit
        # A subtitle that is on show may have begun long before; a still comes first of all.
        if any(track.kind in ("subtitle", "video") for track in self.extras.tracks):
            return
        early = self._last_before(entries, Part(start=max(self._low - _EARLY, Fraction(0))))
        if early is not entries[0]:
            self._reader.seek(early)
            self._items = iter(self._reader)
            self._ahead.clear()

    def _last_before(self, entries: list[IndexEntry], part: Part) -> IndexEntry:
        """The last GOP that begins where a part does, or before."""
        found = entries[0]
        for entry in entries:
            in_time = part.start is not None and entry.pts * self._unit <= part.start
            if entry.number <= part.first or in_time:
                found = entry
        return found

    # --- items ------------------------------------------------------------------------------

    def _is_early(self, packet: TrackPacket) -> bool:
        """Whether a packet ends before the GOP in which the part begins."""
        if self._low is None or (packet.pts is None and packet.dts is None):
            return False
        if packet.track >= len(self.extras.tracks):
            return False
        return span(packet, self.extras.tracks[packet.track].time_base)[1] < self._low

    def _is_far(self, chunk: Chunk) -> bool:
        """Whether a chunk is a frame so far behind the part that no packet follows that is in
        it."""
        if chunk.frame is None:
            return False
        time = chunk.frame.pts * self._unit
        self._last = time if self._last is None else self._last
        return time > self._last + _LATE

    def _frame(self, chunk: Chunk) -> Iterator[Chunk]:
        """A frame, or none until one of its GOP is needed, and then all of them."""
        frame = chunk.frame
        assert frame is not None
        if self._origin is None:
            self._origin = frame.pts
        if self._begun:
            yield chunk
            return
        if frame.kind == INTRA:
            self._held, self._held_bytes = [], 0
        self._held.append(chunk)
        self._held_bytes += chunk.size
        number = chunk.number + frame.place.shift
        self._seen = max(self._seen, number + 1)
        early = self._part.precedes(number, frame.pts * self._unit)
        if early and self._held_bytes <= _MAX_HELD:
            return
        self._begun = True
        held, self._held = self._held, []
        yield from held

    def _given(self, item: DecodedItem[Decoded]) -> Iterator[Item]:
        chunk = item.chunk
        if item.error is not None and isinstance(chunk, Chunk):
            self.lost += 1
            if not isinstance(item.error, ReferenceLost):  # that loss itself has been told
                self._damage(f"frame {chunk.number} at byte {chunk.offset}: {item.error}")
        for decoded in item.frames:
            yield decoded.number, self._shown(decoded) if self._shown else decoded.picture
