"""Whole chunks of a file or pipe, and the damage between them.

No byte is skipped that was not searched, none is copied for the search, and the time is linear in
the input's size whatever is in it.
"""

from __future__ import annotations

import os
import re
import select
import stat
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from roicodec.bitstream.constants import MAGIC, MAX_CHUNK
from roicodec.bitstream.crc import SpanCrc, flipped_bit

__all__ = ["ChunkScanner"]

_TYPE = re.compile(rb"[A-Za-z][A-Za-z0-9 ]{3}")
_KNOWN = re.compile(
    b"|".join(
        [re.escape(MAGIC), *(t.encode() for t in (HEADER, TRACK, PACKET, FRAME, INDEX, TRAILER))]
    )
)
_BLOCK = 1 << 16
_BITS = tuple(1 << bit for bit in range(32))
_MAX_MENDED = 1 << 18
"""Bytes of the largest chunk of which a wrong bit is set right. Any damage looks like a wrong bit
with a probability of the chunk's bits / 2**32."""


class ChunkScanner:
    """Splitter of a file into chunks, from front to back.

    Holds at most two chunks, or what a damaged length claims to be one and the chunk behind it.

    Args:
        file: binary, readable, at the first byte of the stream.

    Attributes:
        offset: bytes from the start of the stream to the next one to read.
        size: bytes of the stream; -1 when the file cannot be sought.
        exhausted: whether reading has met the end of the file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = bytearray()
        self._crc = SpanCrc()
        self._base = 0
        self.offset = 0
        self.size = -1
        self.exhausted = False
        self._waiting: deque[Chunk | Damage] = deque()
        """What comes before that which is read next."""
        if file.seekable():
            self._base = file.tell()
            self.size = file.seek(0, 2) - self._base
            file.seek(self._base)

    # --- bytes -----------------------------------------------------------------------------

    def go(self, offset: int) -> None:
        """Jump to a byte of the stream, in a file that can be sought."""
        self._file.seek(self._base + offset)
        self._buffer.clear()
        self._waiting.clear()
        self._crc = SpanCrc()
        self.offset = offset
        self.exhausted = False

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Block that may jump anywhere; what comes after it is what would have come without it."""
        offset, waiting = self.offset, list(self._waiting)
        try:
            yield
        finally:
            self.go(offset)
            self._waiting.extend(waiting)

    def peek(self, count: int) -> bytes:
        """The next ``count`` bytes, fewer at the end of the file; they stay."""
        self._fill(count)
        return bytes(self._buffer[:count])

    def drop(self, count: int) -> None:
        """End of bytes that were peeked at: the next ones follow."""
        del self._buffer[:count]
        self.offset += count

    def drop_rest(self) -> int:
        """Number of bytes up to the end of the file, all passed over."""
        start = self.offset
        while self._fill(1):
            self.drop(len(self._buffer))
        return self.offset - start

    def _fill(self, count: int) -> bool:
        """Whether ``count`` bytes could be brought into the buffer."""
        while len(self._buffer) < count and not self.exhausted:
            data = self._file.read(min(count - len(self._buffer), _BLOCK))
            self._buffer += data
            self.exhausted = not data
        return len(self._buffer) >= count

    def has_come(self) -> bool:
        """Whether reading will not wait for someone else, as far as is known."""
        try:
            number = self._file.fileno()
            if stat.S_ISREG(os.fstat(number).st_mode):
                return True
            waiting = select.poll()
            waiting.register(number, select.POLLIN)
            return bool(waiting.poll(0))
        except (OSError, ValueError, AttributeError):  # no file of the system's
            return self._file.seekable()

    # --- chunks ----------------------------------------------------------------------------

    def chunk(self) -> Chunk | None:
        """The chunk that begins at the next byte if it is whole and sound; it stays."""
        size = self._sound(0)
        if not size:
            return None
        kind = self._buffer[:4].decode("ascii")
        return Chunk(kind, self.offset, size, bytes(self._buffer[8 : size - 4]))

    def mended(self) -> Chunk | None:
        """The chunk that begins at the next byte as it was before one bit of it changed; it stays.

        None if it is of no known type, too large, or more than a bit is wrong.
        """
        if not self._fill(FRAMING):
            return None
        (length,) = struct.unpack_from(">I", self._buffer, 4)
        most = _MAX_MENDED - 4
        if self.size >= 0:
            most = min(most, self.size - self.offset - 4)
        for claimed in [length, *[length ^ bit for bit in _BITS]]:
            end = claimed + FRAMING - 4
            if end > most:
                continue
            if not self._fill(end + 4) or (claimed != length and not self._may_begin(end + 4)):
                continue
            crc = self._crc(self._buffer, self.offset, 0, end)
            (stored,) = struct.unpack_from(">I", self._buffer, end)
            if (distance := flipped_bit(crc ^ stored, end)) is None:
                continue
            if distance < 0 and any(self._sound(end + back) for back in (1, 2, 3)):
                continue  # bytes of the CRC are gone, and the next chunk's are in their place
            data = self._buffer[:end]
            if distance >= 0:
                data[end - 1 - distance // 8] ^= 0x80 >> distance % 8
            if _KNOWN.match(data) and data[4:8] == struct.pack(">I", claimed):
                return Chunk(data[:4].decode("ascii"), self.offset, end + 4, bytes(data[8:]))
        return None

    def next(self) -> Chunk | Damage | None:
        """The next chunk, or the damage before it, or None at the end of the file.

        A damage without bytes comes before a chunk of which one bit was set right.
        """
        if self._waiting:
            return self._waiting.popleft()
        if not self._fill(1):
            return None
        chunk = self.chunk()
        if chunk is not None:
            self.drop(chunk.size)
            return chunk
        start = self.offset
        if (mended := self.mended()) is not None:
            self.drop(mended.size)
            self._waiting.append(mended)
            kind = mended.type.strip()
            return Damage(
                start, 0, f"one bit of the {kind} chunk at byte {start} was wrong: mended"
            )
        found = self._skip_damage()
        size = self.offset - start
        if found:
            return Damage(start, size, f"{size} damaged bytes at byte {start}")
        return Damage(start, size, f"cut or damaged at byte {start}: no whole chunk follows")

    def put_back(self, items: Sequence[Chunk | Damage]) -> None:
        """Return of items, which :meth:`next` then gives again, in this order."""
        self._waiting.extendleft(reversed(items))

    def _sound(self, at: int) -> int:
        """Size of the chunk at buffer position ``at``; 0 if there is no whole and sound one."""
        if not self._fill(at + FRAMING) or not _TYPE.fullmatch(self._buffer, at, at + 4):
            return 0
        (length,) = struct.unpack_from(">I", self._buffer, at + 4)
        size: int = length + FRAMING
        if length > MAX_CHUNK or 0 <= self.size < self.offset + at + size:
            return 0
        if not self._fill(at + size):
            return 0
        (expected,) = struct.unpack_from(">I", self._buffer, at + size - 4)
        return size if self._crc(self._buffer, self.offset, at, at + size - 4) == expected else 0

    def _may_begin(self, at: int) -> bool:
        """Whether a known chunk may begin at buffer position ``at``, or the file ends there."""
        return not self._fill(at + 4) or _KNOWN.match(self._buffer, at) is not None

    # --- damage ----------------------------------------------------------------------------

    def _skip_damage(self) -> bool:
        """Drop bytes until a sound chunk of known type is next; False at the end of the file.

        If a sound chunk follows where the damaged one ends by its length, that length is believed
        unless whole chunks are found before. A stream inside the damaged chunk (an attachment, say)
        shows by its magic or its header; its chunks are not this stream's.
        """
        target = self._claimed_end()
        at = 1
        while True:
            match = _KNOWN.search(self._buffer, at, target or len(self._buffer))
            if match is None and target:
                self.drop(target)
                return True
            if match is None:
                # Keep what may be the beginning of a magic or type.
                self.drop(max(at, len(self._buffer) - len(MAGIC) + 1))
                at = 0
                if not self._fill(FRAMING):
                    self.drop_rest()
                    return False
                self._fill(_BLOCK)
                continue
            at, found = match.start(), match.group()
            foreign = found == MAGIC
            if not foreign and not self._sound(at):
                at += 1
                continue
            foreign |= found == HEADER.encode()
            if not foreign or target:
                self.drop(target if foreign else at)
                return True
            self.drop(at)
            self._drop_stream()
            at = 0

    def _claimed_end(self) -> int:
        """Buffer position where the damaged chunk ends by its length; 0 if no sound one follows."""
        if not self._fill(FRAMING):
            return 0
        (length,) = struct.unpack_from(">I", self._buffer, 4)
        end: int = length + FRAMING
        return end if length <= MAX_CHUNK and self._sound(end) else 0

    def _drop_stream(self) -> None:
        """Drop a foreign stream, from its magic or header to its trailer or first damage."""
        if self._buffer.startswith(MAGIC):
            self.drop(len(MAGIC))
            self._fill(2)
            self.drop(min(2, len(self._buffer)))
        while size := self._sound(0):
            last = self._buffer.startswith(TRAILER.encode())
            self.drop(size)
            if last:
                break
