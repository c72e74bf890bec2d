"""Reading of ``.rq`` streams, whole or damaged, from a file or a pipe."""

from __future__ import annotations

import struct
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
from roicodec.bitstream.constants import MAGIC, MAX_AREA, MAX_FRAMES, MAX_GAP, READABLE
from roicodec.bitstream.fields import Cursor
from roicodec.bitstream.frame_chunk import MIN_FRAME, FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.index import IndexEntry, index_entries
from roicodec.bitstream.scanner import ChunkScanner
from roicodec.errors import StreamError

__all__ = ["StreamReader", "check_frame", "check_size"]

_START = len(MAGIC) + 2
_MAX_LATE = 8
"""Frames behind the place of a missing one that are looked through for it."""
_MAX_AHEAD = 1 << 20
"""Bytes of chunks after which that ends."""
_KNOWN = {TRACK, PACKET, FRAME, INDEX}


def check_size(header: Header, max_pixels: int) -> None:
    """Check the size of a stream's pictures against a caller's limit.

    Raises:
        StreamError: if they have more luma samples than ``max_pixels``.
    """
    width, height = header.width, header.height
    if width * height > max_pixels:
        raise StreamError(
            f"pictures of {width}x{height} are {width * height} pixels, more than the limit of"
            f" {max_pixels}"
        )


def check_frame(number: int, max_frames: int) -> None:
    """Check a frame's number, counted from 0, against a limit on frames.

    Raises:
        StreamError: if it is not below ``max_frames``.
    """
    if number >= max_frames:
        raise StreamError(f"frame {number} is beyond the limit of {max_frames} frames")


class StreamReader:
    """Reader of a stream, chunk by chunk, from a file or a pipe.

    Iterating gives a :class:`Chunk` for everything between header and end that is whole (chunks
    of unknown type with a lower-case first letter too; others of unknown type are an error), and
    a :class:`Damage` for everything that is not, or that cannot be what its place says. All bytes
    of the stream are in exactly one of ``header_size``, a chunk, or a damage, up to the limit on
    frames. They come in the stream's order, but for frames that are a few places behind theirs, and
    are put in order. Never holds more than two chunks in memory, where a frame is missing 1 MiB
    more.

    Args:
        file: binary, readable, at the first byte of the stream; need not be seekable.
        max_pixels: largest picture to take, in luma samples.
        max_frames: largest number of frames to take; at the first one beyond it, reading ends with
            a damage.

    Attributes:
        header: of the stream; descriptive fields that were out of range are "unknown" in it, and
            reported first by the iteration.
        header_size: bytes up to the first chunk after the header.
        truncated: after iterating: the stream ended before its trailer.
        frames_lost: so far: frames that numbering shows to be missing.

    Raises:
        StreamError: if this is no stream, its version is unknown, its header is damaged, or its
            pictures are larger than ``max_pixels``.
    """

    def __init__(
        self, file: BinaryIO, *, max_pixels: int = MAX_AREA, max_frames: int = MAX_FRAMES
    ) -> None:
        self._scanner = ChunkScanner(file)
        self._max_frames = min(max_frames, MAX_FRAMES)
        self.truncated = False
        self.frames_lost = 0
        self._next_number = 0
        self._others = 0
        self._ended = False
        """Whether the limit on frames was met."""
        self._begun = False
        """Whether a track, packet or frame has come."""
        self._sought = False
        self._before: Chunk | Damage | None = None
        """The item that ends where the next begins."""
        self.header, self._replaced = self._read_header()
        self.header_size = self._scanner.offset
        check_size(self.header, max_pixels)

    def __iter__(self) -> Iterator[Chunk | Damage]:
        for line in self._replaced:
            yield Damage(_START, 0, f"header: {line}")
        self._replaced = []
        while (item := self._scanner.next()) is not None:
            if isinstance(item, Damage):
                yield item
            elif item.type == TRAILER:
                ends, trouble = self._end(item)
                if trouble is not None:
                    yield trouble
                if trouble is None or not trouble.size:
                    yield item
                if ends:
                    yield from self._rest()
                    return
            else:
                yield from self._interpret(item)
                if self._ended:
                    return
            if item.size:
                self._before = item
        self.truncated = True

    def index(self) -> list[IndexEntry]:
        """Places where GOPs start. Only of a seekable stream; the reading place stays.

        Raises:
            StreamError: if the stream cannot be sought or its end is damaged or missing.
        """
        offset, data = self._find_index()
        _, _, count = (data.varint() for _ in range(3))
        return index_entries(data, count, offset, self.header)

    def frame_count(self) -> int | None:
        """Number of frames that were written, by the index; None where it cannot be read."""
        try:
            offset, data = self._find_index()
            count = data.varint()
        except StreamError:
            return None
        return count if count * MIN_FRAME <= offset else None

    def has_come(self) -> bool:
        """Whether reading on will not wait for someone else, as it may do of a pipe."""
        return self._scanner.has_come()

    def seek(self, entry: IndexEntry) -> None:
        """Jump to the GOP that ``entry`` of :meth:`index` names."""
        self._scanner.go(entry.offset)
        self._next_number = entry.number
        self._before = None
        self._begun = self._sought = True

    # --- both ends -------------------------------------------------------------------------

    def _read_header(self) -> tuple[Header, list[str]]:
        first = self._scanner.peek(_START)
        if first[: len(MAGIC)] != MAGIC[: len(first)]:
            raise StreamError("not an .rq stream (its first bytes are others)")
        if len(first) < _START:
            raise StreamError(f"cut after {len(first)} bytes, inside its first fields")
        (version,) = struct.unpack_from(">H", first, len(MAGIC))
        if version not in READABLE:
            raise StreamError(
                f"format version {version} is unknown; this program reads versions"
                f" {READABLE[0]} to {READABLE[-1]}:"
                f" update it, or the stream is damaged at byte {len(MAGIC)}"
            )
        self._scanner.drop(_START)
        chunk, lines = self._scanner.chunk(), []
        if chunk is None and (chunk := self._scanner.mended()) is not None:
            lines = ["one bit of it was wrong: mended"]
        if chunk is None or chunk.type != HEADER:
            what = "cut inside its header" if self._scanner.exhausted else "header damaged"
            raise StreamError(f"{what} at byte {_START}; nothing after it can be read")
        try:
            header, replaced = Header.unpack(chunk.payload, version)
        except StreamError as error:
            raise StreamError(f"header at byte {_START}: {error}") from error
        self._scanner.drop(chunk.size)
        return header, lines + replaced

    def _find_index(self) -> tuple[int, Cursor]:
        """Offset and payload of the index."""
        scanner = self._scanner
        if scanner.size < 0:
            raise StreamError("a stream from a pipe has no index before its end")
        with scanner.elsewhere():
            scanner.go(max(self.header_size, scanner.size - FRAMING - 8))
            trailer = scanner.chunk()
            if trailer is None or trailer.type != TRAILER:
                raise StreamError("the stream has no trailer: it was cut or is still being written")
            (offset,) = Cursor(trailer.payload).unpack(">Q")
            scanner.go(min(offset, scanner.size))
            index = scanner.chunk()
            if index is None or index.type != INDEX:
                raise StreamError(f"the index is damaged at byte {offset}")
            return offset, Cursor(index.payload)

    def _end(self, trailer: Chunk) -> tuple[bool, Damage | None]:
        """Whether a trailer ends this stream, and what is wrong with it.

        It does if it points at the index just before it, or into the damage there, or if nothing
        follows. Otherwise it is the trailer of another stream, which a damaged chunk held.
        """
        at, before = trailer.offset, self._before
        (offset,) = Cursor(trailer.payload).unpack(">Q") if len(trailer.payload) == 8 else (-1,)
        if isinstance(before, Damage) and before.offset <= offset < before.offset + before.size:
            return True, None
        indexed = isinstance(before, Chunk) and before.type == INDEX
        if before is not None and indexed and before.offset == offset:
            return True, None
        if self._scanner.peek(1):
            message = f"trailer at byte {at} points at byte {offset}, where no index was read"
            return False, Damage(at, trailer.size, f"{message}: it does not end this stream")
        if before is not None and indexed:
            message = f"the index is at byte {before.offset} instead of {offset}, where the trailer"
            return True, Damage(at, 0, f"{message} says: bytes were inserted or removed before it")
        self.truncated = True
        message = f"the index is missing before the trailer at byte {at}"
        return True, Damage(at, 0, f"{message}: the last frames may be missing, too")

    def _rest(self) -> Iterator[Damage]:
        start = self._scanner.offset
        size = self._scanner.drop_rest()
        if size:
            message = f"{size} unexpected bytes after the end of the stream, at byte {start}"
            yield Damage(start, size, message)

    # --- meaning ---------------------------------------------------------------------------

    def _interpret(self, chunk: Chunk) -> Iterator[Chunk | Damage]:
        try:
            if chunk.type == FRAME:
                yield from self._frame(chunk)
                return
            if chunk.type == INDEX:
                yield from self._totals(chunk)
            elif chunk.type in (TRACK, PACKET):
                self._others += 1
                if chunk.type == TRACK and self._begun:
                    raise StreamError("its tracks come too late and are not used")
                self._begun = True
            elif chunk.type == HEADER:
                raise StreamError("a second header; it is not used")
        except StreamError as error:
            where = f"{chunk.type.strip()} chunk at byte {chunk.offset}"
            yield Damage(chunk.offset, chunk.size, f"{where}: {error}")
            return
        if chunk.type not in _KNOWN and not chunk.type[0].islower():
            raise StreamError(
                f"chunk of type {chunk.type!r} at byte {chunk.offset}: a newer program wrote this"
                " stream; update roicodec"
            )
        yield chunk

    def _frame(self, chunk: Chunk) -> Iterator[Chunk | Damage]:
        number, frame, replaced = FrameChunk.unpack(chunk.payload, self.header, self._next_number)
        self._ended = self._next_number >= self._max_frames
        check_frame(number, self._max_frames)
        if number < self._next_number:
            raise StreamError(f"frame {number} again, after frame {self._next_number - 1}")
        while number > self._next_number and (late := self._late_frame()) is not None:
            name = f"frame {self._next_number}"
            yield Damage(late.offset, 0, f"{name} comes late, at byte {late.offset}: put in order")
            yield from self._frame(late)
        yield from self._gap(number, chunk.offset)
        self._begun = True
        self._next_number = number + 1
        for line in replaced:
            yield Damage(chunk.offset, 0, f"frame at byte {chunk.offset}: {line}")
        yield replace(chunk, frame=frame, number=number)

    def _late_frame(self) -> Chunk | None:
        """The chunk of the next frame if it is a few frames behind its place; it is taken out."""
        passed: list[Chunk | Damage] = []
        found, frames, size = None, 0, 0
        while found is None and frames < _MAX_LATE and size < _MAX_AHEAD:
            item = self._scanner.next()
            if item is None:
                break
            if isinstance(item, Chunk) and self._is_due(item):
                found = item
                break
            passed.append(item)
            size += item.size
            if isinstance(item, Damage) or item.type not in (FRAME, PACKET):
                break
            frames += item.type == FRAME
        self._scanner.put_back(passed)
        return found

    def _is_due(self, chunk: Chunk) -> bool:
        if chunk.type != FRAME:
            return False
        try:
            number, _, replaced = FrameChunk.unpack(chunk.payload, self.header, self._next_number)
        except StreamError:
            return False
        return number == self._next_number and not replaced

    def _totals(self, chunk: Chunk) -> Iterator[Damage]:
        """Compare what an index counts with what was read."""
        if self._foreign(chunk):
            raise StreamError("the trailer behind it points elsewhere; not this stream's")
        data = Cursor(chunk.payload)
        frames, others = data.varint(), data.varint()
        if frames < self._next_number:
            raise StreamError(f"it counts {frames} frames, {self._next_number} are there")
        yield from self._gap(frames, chunk.offset)
        if not self._sought and others != self._others:
            message = f"{others} track and packet chunks were written, {self._others} are whole"
            yield Damage(chunk.offset, 0, message)

    def _foreign(self, index: Chunk) -> bool:
        """Whether an index is that of another stream, which a damaged chunk held."""
        trailer = self._scanner.chunk()
        if trailer is None or trailer.type != TRAILER or len(trailer.payload) != 8:
            return False
        (offset,) = Cursor(trailer.payload).unpack(">Q")
        return offset != index.offset and len(self._scanner.peek(trailer.size + 1)) > trailer.size

    def _gap(self, number: int, offset: int) -> Iterator[Damage]:
        """Report the frames missing from the next expected one up to ``number``."""
        lost = number - self._next_number
        if lost > MAX_GAP:
            raise StreamError(f"frame {number} cannot follow frame {self._next_number - 1}")
        if lost > 0:
            self.frames_lost += lost
            names = (
                f"frames {self._next_number} to {number - 1}"
                if lost > 1
                else f"frame {self._next_number}"
            )
            yield Damage(offset, 0, f"{names} missing before byte {offset}", lost)
            self._next_number = number
