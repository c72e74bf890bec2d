"""Reading of ``.rq`` streams, whole or damaged, from a file or a pipe."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from roicodec.bitstream.chunks import (
    FRAME,
    FRAMING,
    HEADER,
    INDEX,
    PACKET,
    TRACK,
    TRAILER,
    Chunk,
    Damage,
)
from roicodec.bitstream.constants import MAGIC, MAX_CHUNK, VERSION
from roicodec.bitstream.fields import Cursor
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.index import IndexEntry, index_entries
from roicodec.errors import StreamError

__all__ = ["StreamReader"]

_TYPE = re.compile(rb"[A-Za-z][A-Za-z0-9 ]{3}")
_KNOWN = re.compile(b"|".join(t.encode() for t in (TRACK, PACKET, FRAME, INDEX, TRAILER)))
_BLOCK = 1 << 16
_SCAN_BUDGET = 1 << 32


class StreamReader:
    """Reads a stream chunk by chunk, from a file or a pipe.

    Iterating gives a :class:`Chunk` for everything between header and end that is whole (chunks
    of unknown type with a lower-case first letter too; others of unknown type are an error), and
    a :class:`Damage` for everything that is not. All bytes of the stream are in exactly one of
    ``header_size``, a chunk, or a damage. Never holds more than two chunks in memory.

    Attributes:
        header: of the stream.
        header_size: bytes up to the first chunk after the header.
        truncated: after iterating: the stream ended before its trailer.
        frames_lost: so far: frames that numbering shows to be missing.

    Raises:
        StreamError: if this is no stream, its version is unknown, or its header is damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = bytearray()
        self._offset = 0
        self._exhausted = False
        self._base, self._size = 0, -1
        if file.seekable():
            self._base = file.tell()
            self._size = file.seek(0, 2) - self._base
            file.seek(self._base)
        self.truncated = False
        self.frames_lost = 0
        self._next_number = 0
        self._others = 0
        self._sought = False
        self._budget = _SCAN_BUDGET
        self.header = self._read_header()
        self.header_size = self._offset

    def __iter__(self) -> Iterator[Chunk | Damage]:
        while True:
            item = self._next()
            if item is None:
                self.truncated = True
                return
            if isinstance(item, Damage):
                yield item
                continue
            yield from self._interpret(item)
            if item.type == TRAILER:
                if self._fill(1):
                    start, size = self._drop_rest()
                    message = (
                        f"{size} unexpected bytes after the end of the stream, at byte {start}"
                    )
                    yield Damage(start, size, message)
                return

    def index(self) -> list[IndexEntry]:
        """Where each GOP starts. Only of a seekable stream; leaves the reading place alone.

        Raises:
            StreamError: if the stream cannot be sought or its end is damaged or missing.
        """
        offset, data = self._find_index()
        _, _, count = (data.varint() for _ in range(3))
        return index_entries(data, count, offset, self.header)

    def frame_count(self) -> int | None:
        """How many frames were written, by the index; None where it cannot be read."""
        try:
            return self._find_index()[1].varint()
        except StreamError:
            return None

    def seek(self, entry: IndexEntry) -> None:
        """Continue reading at the GOP that ``entry`` of :meth:`index` names."""
        self._go(entry.offset)
        self._next_number = entry.number
        self._sought = True

    def _find_index(self) -> tuple[int, Cursor]:
        """Offset and payload of the index."""
        if self._size < 0:
            raise StreamError("a stream from a pipe has no index before its end")
        place = self._offset
        try:
            self._go(max(self.header_size, self._size - FRAMING - 8))
            trailer = self._parse(0)
            if trailer is None or trailer.type != TRAILER:
                raise StreamError("the stream has no trailer: it was cut or is still being written")
            (offset,) = Cursor(trailer.payload).unpack(">Q")
            self._go(min(offset, self._size))
            index = self._parse(0)
            if index is None or index.type != INDEX:
                raise StreamError(f"the index is damaged at byte {offset}")
            return offset, Cursor(index.payload)
        finally:
            self._go(place)

    # bytes

    def _go(self, offset: int) -> None:
        self._file.seek(self._base + offset)
        self._buffer.clear()
        self._offset = offset
        self._exhausted = False

    def _fill(self, count: int) -> bool:
        """Whether ``count`` bytes could be brought into the buffer."""
        while len(self._buffer) < count and not self._exhausted:
            data = self._file.read(min(count - len(self._buffer), _BLOCK))
            self._buffer += data
            self._exhausted = not data
        return len(self._buffer) >= count

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count

    # chunks

    def _read_header(self) -> Header:
        start = len(MAGIC) + 2
        whole = self._fill(start)
        if self._buffer[: len(MAGIC)] != MAGIC[: len(self._buffer)]:
            raise StreamError("not an .rq stream (its first bytes are others)")
        if not whole:
            raise StreamError(f"cut after {len(self._buffer)} bytes, inside its first fields")
        (version,) = struct.unpack_from(">H", self._buffer, len(MAGIC))
        if version != VERSION:
            raise StreamError(
                f"format version {version} is unknown; this program reads version {VERSION}:"
                " update it, or the stream is damaged at byte 8"
            )
        self._drop(start)
        chunk = self._parse(0)
        if chunk is None or chunk.type != HEADER:
            what = "cut inside its header" if self._exhausted else "header damaged"
            raise StreamError(f"{what} at byte {start}; nothing after it can be read")
        try:
            header = Header.unpack(chunk.payload)
        except StreamError as error:
            raise StreamError(f"header at byte {start}: {error}") from error
        self._drop(chunk.size)
        return header

    def _parse(self, at: int) -> Chunk | None:
        """The chunk at buffer position ``at`` if there is a whole and sound one; stays there."""
        if not self._fill(at + 8) or not _TYPE.fullmatch(self._buffer, at, at + 4):
            return None
        (length,) = struct.unpack_from(">I", self._buffer, at + 4)
        size = length + FRAMING
        if length > MAX_CHUNK or 0 <= self._size < self._offset + at + size:
            return None
        if not self._fill(at + size):
            return None
        with memoryview(self._buffer) as view:
            crc = zlib.crc32(view[at : at + size - 4])
        if crc != int.from_bytes(self._buffer[at + size - 4 : at + size], "big"):
            self._budget -= size
            return None
        kind = self._buffer[at : at + 4].decode("ascii")
        payload = bytes(self._buffer[at + 8 : at + size - 4])
        return Chunk(kind, self._offset + at, size, payload)

    def _next(self) -> Chunk | Damage | None:
        """The next chunk, or the damage before it, or None at the end of the file."""
        if not self._fill(1):
            return None
        chunk = self._parse(0)
        if chunk is not None:
            self._drop(chunk.size)
            return chunk
        start = self._offset
        if self._skip_to_chunk():
            size = self._offset - start
            return Damage(start, size, f"{size} damaged bytes at byte {start}")
        size = self._offset - start
        return Damage(start, size, f"cut or damaged at byte {start}: no whole chunk follows")

    def _skip_to_chunk(self) -> bool:
        """Drop bytes until a sound chunk of known type starts the buffer, or to the end."""
        if self._fill(8):
            size = int.from_bytes(self._buffer[4:8], "big") + FRAMING
            if size <= len(self._buffer) and self._parse(size):
                self._drop(size)
                return True
        self._drop(1)
        while self._budget > 0:
            for match in _KNOWN.finditer(bytes(self._buffer)):
                if self._budget > 0 and self._parse(match.start()):
                    self._drop(match.start())
                    return True
            self._drop(max(0, len(self._buffer) - 3))
            if not self._fill(4):
                break
            self._fill(_BLOCK)
        self._drop_rest()
        return False

    def _drop_rest(self) -> tuple[int, int]:
        """Drop everything up to the end of the file; offset and size of it."""
        start = self._offset
        self._drop(len(self._buffer))
        while self._fill(1):
            self._drop(len(self._buffer))
        return start, self._offset - start

    # meaning

    def _interpret(self, chunk: Chunk) -> Iterator[Chunk | Damage]:
        if chunk.type in (TRACK, PACKET):
            self._others += 1
        elif chunk.type in (FRAME, INDEX):
            try:
                yield from self._frame(chunk) if chunk.type == FRAME else self._totals(chunk)
            except StreamError as error:
                where = f"{chunk.type} chunk at byte {chunk.offset}"
                yield Damage(chunk.offset, chunk.size, f"{where}: {error}")
            return
        elif chunk.type != TRAILER and not chunk.type[0].islower():
            raise StreamError(
                f"chunk of type {chunk.type!r} at byte {chunk.offset}: a newer program wrote this"
                " stream; update roicodec"
            )
        yield chunk

    def _frame(self, chunk: Chunk) -> Iterator[Chunk | Damage]:
        number, frame = FrameChunk.unpack(chunk.payload, self.header)
        if number < self._next_number:
            raise StreamError(f"frame {number} again, after frame {self._next_number - 1}")
        yield from self._gap(number, chunk.offset)
        self._next_number = number + 1
        yield replace(chunk, frame=frame, number=number)

    def _totals(self, chunk: Chunk) -> Iterator[Chunk | Damage]:
        data = Cursor(chunk.payload)
        frames, others = data.varint(), data.varint()
        yield from self._gap(frames, chunk.offset)
        if frames < self._next_number:
            raise StreamError(f"it counts {frames} frames, {self._next_number} are there")
        if not self._sought and others != self._others:
            message = f"{others} track and packet chunks were written, {self._others} are whole"
            yield Damage(chunk.offset, 0, message)
        yield chunk

    def _gap(self, number: int, offset: int) -> Iterator[Damage]:
        """Report the frames missing from the next expected one up to ``number``."""
        lost = number - self._next_number
        if lost > 0:
            self.frames_lost += lost
            names = (
                f"frames {self._next_number} to {number - 1}"
                if lost > 1
                else (f"frame {self._next_number}")
            )
            yield Damage(offset, 0, f"{names} missing before byte {offset}", lost)
            self._next_number = number
