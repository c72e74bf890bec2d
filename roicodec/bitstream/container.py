"""The ``.rq`` stream: ``magic, version, chunk*``, from header to trailer.

A chunk is a 4-character type, a length, a payload and a CRC-32; all numbers are big-endian.
Every byte is specified in ``docs/format.md``.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import BinaryIO, Self

from roicodec.bitstream import sei
from roicodec.bitstream.constants import (
    INTER,
    INTRA,
    MAX_AREA,
    MAX_BITS,
    MAX_CHUNK,
    MAX_QUALITY,
    MAX_SIDE,
    MIN_SIDE,
)
from roicodec.bitstream.fields import Cursor, blob, fraction, signed, text, varint
from roicodec.errors import InputError, StreamError

__all__ = [
    "FRAME",
    "MAGIC",
    "PACKET",
    "TRACK",
    "VERSION",
    "Candidate",
    "Chunk",
    "Damage",
    "FrameChunk",
    "Header",
    "IndexEntry",
    "StreamReader",
    "StreamWriter",
]

MAGIC = b"\x89RQV\r\n\x1a\n"
VERSION = 6

HEADER, TRACK, PACKET, FRAME, INDEX, TRAILER = "HEAD", "TRAK", "PKT ", "FRAM", "INDX", "TAIL"

_INTER_BIT, _TIME_BIT = 0x80, 0x40
_FRAMING = 12
_TYPE = re.compile(rb"[A-Za-z][A-Za-z0-9 ]{3}")
_KNOWN = re.compile(b"|".join(t.encode() for t in (TRACK, PACKET, FRAME, INDEX, TRAILER)))
_BLOCK = 1 << 16
_SCAN_BUDGET = 1 << 32


# --- what a stream holds --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bit-width that a stream may use (0..16; 0 = skip) and its quality offset (-128..127)."""

    bits: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """What a decoder must know before the first frame.

    Attributes:
        width, height: luma samples, 16..4096 each, at most 4096 * 2304 together.
        model_id: hash of the integer weights, 16 bytes.
        arithmetic_id: which definition of the integer arithmetic, 0..65535.
        candidates: the bit-widths that frames may name, at least one.
        gop: most frames from one intra frame to the next, 1..65535.
        time_base: seconds per unit of ``pts``.
        frame_rate: nominal frames per second; 0 when unknown.
        sample_aspect_ratio: width by height of a sample; 0 when unknown.
        rotation: degrees, -180..180, by which a player turns the picture counterclockwise.
        pixel_format: the source's format by FFmpeg's name; the stream itself is yuv420p.
        color_range, color_matrix, color_primaries, color_transfer, chroma_location: the numbers
            of FFmpeg's AVColorRange, AVColorSpace, AVColorPrimaries,
            AVColorTransferCharacteristic and AVChromaLocation (the middle three are code points
            of ITU-T H.273); 0..255.
        encoder: name and version of the program that wrote the stream.

    Raises:
        InputError: if a field is out of its range.
    """

    width: int
    height: int
    model_id: bytes
    arithmetic_id: int
    candidates: tuple[Candidate, ...]
    gop: int
    time_base: Fraction = Fraction(1, 90000)
    frame_rate: Fraction = Fraction(0)
    sample_aspect_ratio: Fraction = Fraction(0)
    rotation: int = 0
    pixel_format: str = "yuv420p"
    color_range: int = 0
    color_matrix: int = 2
    color_primaries: int = 2
    color_transfer: int = 2
    chroma_location: int = 0
    encoder: str = ""

    def __post_init__(self) -> None:
        sides = (self.width, self.height)
        if min(sides) < MIN_SIDE or max(sides) > MAX_SIDE or sides[0] * sides[1] > MAX_AREA:
            raise InputError(
                f"picture size {self.width}x{self.height} is not supported; scale it to between"
                f" {MIN_SIDE}x{MIN_SIDE} and 4096x2304"
            )
        bits = [c.bits for c in self.candidates]
        if not 1 <= len(bits) <= 255 or not all(0 <= b <= MAX_BITS for b in bits):
            raise InputError(f"candidates {bits}: give at least one, each 0..{MAX_BITS}")
        if len(set(bits)) != len(bits):
            raise InputError(f"candidates {bits} name a bit-width twice")
        if not 1 <= self.gop <= 0xFFFF:
            raise InputError(f"GOP length {self.gop} is not in 1..65535")
        if len(self.model_id) != 16:
            raise InputError(f"the model id has {len(self.model_id)} bytes instead of 16")
        if self.time_base <= 0 or self.frame_rate < 0 or self.sample_aspect_ratio < 0:
            raise InputError("time base, frame rate and sample aspect cannot be negative")

    def nominal(self, number: int) -> int:
        """``number`` frame periods in units of the time base, halves rounded up."""
        span = number * self._period
        return (2 * span.numerator + span.denominator) // (2 * span.denominator)

    @property
    def _period(self) -> Fraction:
        return 1 / (self.frame_rate * self.time_base) if self.frame_rate else Fraction(0)

    def pack(self) -> bytes:
        """The payload of the header chunk."""
        return b"".join(
            [
                struct.pack(">HHHHh", self.width, self.height, self.gop, self.arithmetic_id,
                            self.rotation),
                self.model_id,
                bytes([self.color_range, self.color_matrix, self.color_primaries,
                       self.color_transfer, self.chroma_location, len(self.candidates)]),
                *(struct.pack(">Bb", c.bits, c.offset) for c in self.candidates),
                *map(fraction, (self.time_base, self.frame_rate, self.sample_aspect_ratio)),
                text(self.pixel_format),
                text(self.encoder),
            ]
        )  # fmt: skip

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """Read the payload of the header chunk.

        Raises:
            StreamError: if it is malformed or a field is out of its range.
        """
        data = Cursor(payload)
        width, height, gop, arithmetic_id, rotation = data.unpack(">HHHHh")
        model_id = data.take(16)
        color_range, matrix, primaries, transfer, location, count = data.take(6)
        candidates = tuple(Candidate(*data.unpack(">Bb")) for _ in range(count))
        time_base, frame_rate, sample_aspect_ratio = (data.fraction() for _ in range(3))
        pixel_format, encoder = data.text(), data.text()
        data.end()
        try:
            return cls(
                width, height, model_id, arithmetic_id, candidates, gop, time_base, frame_rate,
                sample_aspect_ratio, rotation, pixel_format, color_range, matrix, primaries,
                transfer, location, encoder,
            )  # fmt: skip
        except InputError as error:
            raise StreamError(str(error)) from error


@dataclass(frozen=True, slots=True)
class FrameChunk:
    """One coded frame.

    Attributes:
        b_roi, b_bg: bit-widths of the ROI and of the rest; both among the header's candidates.
        kind: ``INTRA`` or ``INTER``.
        quality: quality index, 0..63.
        pts, duration: in units of the header's time base; duration 0 when unknown.
        filters: which activities the post-filter is switched on for, in luma and in chroma: two
            sets of eight bits.
        mask: ROI, entropy-coded; empty when it stays as it was.
        motion: skip map and vectors, entropy-coded; empty where there is nothing.
        latents: hyper-latents and latents, entropy-coded; empty where there is nothing.
        crc32: of the picture, post-filtered, as :meth:`roicodec.picture.Picture.crc32` gives.
    """

    b_roi: int
    b_bg: int
    kind: int
    quality: int
    pts: int
    duration: int
    filters: tuple[int, int]
    mask: bytes
    motion: bytes
    latents: bytes
    crc32: int

    def pack(self, header: Header, number: int) -> bytes:
        """The payload of the chunk of frame ``number``, counted from 0.

        Raises:
            ValueError: if a field is out of its range.
        """
        self._check(header)
        late, longer = self.pts - header.nominal(number), self.duration - header.nominal(1)
        irregular = bool(late or longer)
        first = self.quality | _INTER_BIT * self.kind | _TIME_BIT * irregular
        return b"".join(
            [
                sei.pack(self.b_roi, self.b_bg),
                bytes([first]),
                varint(number),
                *(map(signed, (late, longer)) if irregular else ()),
                bytes(self.filters),
                *map(blob, (self.mask, self.motion)),
                self.latents,
                struct.pack(">I", self.crc32),
            ]
        )

    @classmethod
    def unpack(cls, payload: bytes, header: Header) -> tuple[int, Self]:
        """``(number, frame)`` from the payload of a frame chunk.

        Raises:
            StreamError: if it is malformed or a field is out of its range.
        """
        data = Cursor(payload)
        b_roi, b_bg = sei.unpack(data.take(sei.SIZE))
        (first,) = data.take(1)
        kind, quality = (INTER if first & _INTER_BIT else INTRA), first & MAX_QUALITY
        number = data.varint()
        late, longer = (data.signed(), data.signed()) if first & _TIME_BIT else (0, 0)
        pts, duration = header.nominal(number) + late, header.nominal(1) + longer
        luma, chroma = data.take(2)
        mask, motion = data.blob(), data.blob()
        rest = data.rest()
        if len(rest) < 4:
            raise StreamError("the frame ends before the CRC of its planes")
        frame = cls(
            b_roi, b_bg, kind, quality, pts, duration, (luma, chroma), mask, motion, rest[:-4],
            int.from_bytes(rest[-4:], "big"),
        )  # fmt: skip
        try:
            frame._check(header)
        except ValueError as error:
            raise StreamError(str(error)) from error
        return number, frame

    def _check(self, header: Header) -> None:
        if self.kind not in (INTRA, INTER):
            raise ValueError(f"frame type {self.kind} is neither intra (0) nor inter (1)")
        if not 0 <= self.quality <= MAX_QUALITY:
            raise ValueError(f"quality index {self.quality} is not in 0..{MAX_QUALITY}")
        if not {self.b_roi, self.b_bg} <= {c.bits for c in header.candidates}:
            raise ValueError(f"bit-widths {self.b_roi}, {self.b_bg} are not among the candidates")
        if not -(1 << 63) <= self.pts < 1 << 63 or not 0 <= self.duration < 1 << 63:
            raise ValueError(f"time stamp {self.pts} or duration {self.duration} out of range")


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Where a GOP starts: number and time of its intra frame, byte offset of its chunk."""

    number: int
    offset: int
    pts: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A whole chunk as it was read.

    Attributes:
        type: its four characters.
        offset: of its first byte in the stream.
        size: in the stream, framing included.
        payload: its content; opaque but for frames.
        frame, number: of a frame chunk: the frame and its number from 0; else None and -1.
    """

    type: str
    offset: int
    size: int
    payload: bytes = field(repr=False)
    frame: FrameChunk | None = None
    number: int = -1


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it was written.

    Attributes:
        offset, size: the bytes that hold no whole chunk; size 0 when no byte is wrong but
            something is missing before ``offset``.
        message: what is wrong, where.
        frames: how many frames are now known to be missing just before this place. They are
            counted where numbering shows it: at the next whole frame, or at the index.
    """

    offset: int
    size: int
    message: str
    frames: int = 0


def _pack_index(entries: list[IndexEntry], frames: int, others: int, header: Header) -> bytes:
    out = [varint(frames), varint(others), varint(len(entries))]
    number = offset = 0
    for entry in entries:
        out += [varint(entry.number - number), varint(entry.offset - offset),
                signed(entry.pts - header.nominal(entry.number))]  # fmt: skip
        number, offset = entry.number, entry.offset
    return b"".join(out)


def _index_entries(data: Cursor, count: int, end: int, header: Header) -> list[IndexEntry]:
    """``count`` entries, in ascending order, all before byte ``end``."""
    entries: list[IndexEntry] = []
    number = offset = 0
    for _ in range(count):
        step, distance = data.varint(), data.varint()
        number, offset = number + step, offset + distance
        if distance < _FRAMING or offset >= end or (entries and not step):
            raise StreamError("its entries are not in order")
        entries.append(IndexEntry(number, offset, data.signed() + header.nominal(number)))
    data.end()
    return entries


# --- writing --------------------------------------------------------------------------------


class StreamWriter:
    """Writes a stream to a file object, which need not be seekable.

    Keeps one index entry a GOP in memory and nothing else. As a context manager it closes the
    stream (not the file object) unless an exception passes through.

    Args:
        file: binary, writable.
        header: written at once.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self.header = header
        self.frames = 0
        self.position = 0
        self._others = 0
        self._entries: list[IndexEntry] = []
        self._write(MAGIC + struct.pack(">H", VERSION))
        self._chunk(HEADER, header.pack())

    def write_track(self, payload: bytes) -> int:
        """Describe a media track; before the first frame. Returns the bytes written."""
        if self.frames:
            raise ValueError("tracks come before the first frame")
        self._others += 1
        return self._chunk(TRACK, payload)

    def write_packet(self, payload: bytes) -> int:
        """Write a packet of a media track. Returns the bytes written."""
        self._others += 1
        return self._chunk(PACKET, payload)

    def write_frame(self, frame: FrameChunk) -> int:
        """Write the next frame, the first of them intra. Returns the bytes written."""
        if frame.kind == INTRA:
            self._entries.append(IndexEntry(self.frames, self.position, frame.pts))
        elif not self.frames:
            raise ValueError("the first frame of a stream must be intra")
        size = self._chunk(FRAME, frame.pack(self.header, self.frames))
        self.frames += 1
        return size

    def close(self) -> None:
        """Write index and trailer."""
        offset = self.position
        self._chunk(INDEX, _pack_index(self._entries, self.frames, self._others, self.header))
        self._chunk(TRAILER, struct.pack(">Q", offset))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()

    def _chunk(self, kind: str, payload: bytes) -> int:
        if len(payload) > MAX_CHUNK:
            raise InputError(
                f"a {kind.strip()} chunk of {len(payload)} bytes; at most {MAX_CHUNK} fit in one"
            )
        body = kind.encode() + struct.pack(">I", len(payload)) + payload
        return self._write(body + struct.pack(">I", zlib.crc32(body)))

    def _write(self, data: bytes) -> int:
        self._file.write(data)
        self.position += len(data)
        return len(data)


# --- reading --------------------------------------------------------------------------------


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
        return _index_entries(data, count, offset, self.header)

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
            self._go(max(self.header_size, self._size - _FRAMING - 8))
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
        size = length + _FRAMING
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
            size = int.from_bytes(self._buffer[4:8], "big") + _FRAMING
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
