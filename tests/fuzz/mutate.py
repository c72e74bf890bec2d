"""Mutations of streams that keep most of their structure: fields, chunks, their order, bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from roicodec.bitstream.fields import varint

__all__ = ["Mutant", "damaged", "mutated", "sections"]

START = 10
"""Bytes of magic and version."""

TYPES = (b"HEAD", b"TRAK", b"PKT ", b"FRAM", b"INDX", b"TAIL", b"note", b"NOTE", b"fram", b"9RAM")

NUMBERS = (
    0, 1, 2, 3, 15, 16, 17, 63, 64, 127, 128, 255, 256, 4096, 65535, (1 << 22) + 1, (1 << 26) + 1,
    (1 << 27) - 1, 1 << 27, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 40, 1 << 62, (1 << 63) - 1,
    1 << 63, (1 << 64) - 1,
)  # fmt: skip
"""Values at which something may begin to go wrong."""

LURES = (b"FRAM", b"TAIL", b"INDX", b"TRAK", b"HEAD", b"\x89RQV\r\n\x1a\n\x00\x07")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutated stream.

    Attributes:
        data: its bytes.
        only_damaged: whether bytes were only changed, inserted or removed, no CRC repaired: every
            chunk that is still there byte by byte must then be found.
    """

    data: bytes
    only_damaged: bool


def pack(kind: bytes, payload: bytes) -> bytes:
    body = kind + struct.pack(">I", len(payload)) + payload
    return body + struct.pack(">I", zlib.crc32(body))


def sections(data: bytes) -> list[tuple[bytes, bytes]]:
    """Type and payload of each chunk of a sound stream."""
    found, at = [], START
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at + 4)
        found.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += length + 12
    return found


def mutated(rng: Random, seeds: list[bytes], hostile: float = 0.7) -> Mutant:
    """One mutant of one of some sound streams.

    Args:
        rng: source of all choices.
        seeds: sound streams.
        hostile: probability of repaired CRCs (an attacker) against plain damage (an accident).
    """
    data = rng.choice(seeds)
    if rng.random() >= hostile:
        return Mutant(damaged(rng, data), True)
    chunks = sections(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change: Callable[[Random, list[tuple[bytes, bytes]], list[bytes]], None]
        change = rng.choices((_field, _bytes, _order, _embed), (6, 3, 3, 1))[0]
        change(rng, chunks, seeds)
        if not chunks:
            break
    out = assembled(rng, data[:START], chunks)
    if rng.random() < 0.15:
        out = damaged(rng, out)
    return Mutant(out, False)


def assembled(rng: Random, start: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """The stream of some chunks; most trailers point at the index before them."""
    out, index = bytearray(start), 0
    repair = rng.random() < 0.8
    for kind, content in chunks:
        if kind == b"INDX":
            index = len(out)
        payload = struct.pack(">Q", index) if kind == b"TAIL" and repair else content
        piece = bytearray(pack(kind, payload))
        if rng.random() < 0.01:  # a length that lies
            piece[4:8] = struct.pack(">I", rng.choice(NUMBERS) & 0xFFFFFFFF)
        out += piece
    return bytes(out)


def damaged(rng: Random, data: bytes) -> bytes:
    """The stream after an accident: bits flipped, bytes inserted, removed, overwritten, cut."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(out) + 1)
        size = rng.choice((1, 2, 4, 12, 13, 40, 200))
        match rng.randrange(5):
            case 0 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                out[at:at] = rng.randbytes(size)
            case 2:
                del out[at : at + size]
            case 3:
                out[at : at + size] = rng.randbytes(size)
            case 4 if rng.random() < 0.2:
                del out[at:]
    return bytes(out)


# --- fields ---------------------------------------------------------------------------------


def _number(rng: Random) -> int:
    if rng.random() < 0.6:
        return rng.choice(NUMBERS)
    return rng.randrange(1 << rng.randrange(1, 65))


def _varint(rng: Random) -> bytes:
    if rng.random() < 0.05:
        return b"\xff" * rng.randrange(1, 12)
    return varint(_number(rng))


def _text(rng: Random) -> bytes:
    content = rng.choice(
        (b"", b"\x1b[2J", b"\xff\xfe", b"a\nroicodec: b", b"x" * rng.choice((1, 60, 5000)), b"\0")
    )
    size = len(content) if rng.random() < 0.9 else _number(rng)
    return varint(size) + content


def _field(rng: Random, chunks: list[tuple[bytes, bytes]], seeds: list[bytes]) -> None:
    """Another value for a field of one chunk."""
    at = rng.randrange(len(chunks))
    kind, payload = chunks[at]
    change = {b"HEAD": _head, b"FRAM": _frame, b"INDX": _index, b"TAIL": _tail}.get(kind)
    chunks[at] = kind, change(rng, payload) if change else _scattered(rng, payload)


def _scattered(rng: Random, payload: bytes) -> bytes:
    """A varint or text put somewhere."""
    out, at = bytearray(payload), rng.randrange(len(payload) + 1)
    out[at : at + rng.choice((0, 1, 1, 2, 3))] = rng.choice((_varint, _text))(rng)
    return bytes(out)


def _head(rng: Random, payload: bytes) -> bytes:
    out = bytearray(payload)
    if len(out) < 40:
        return _scattered(rng, payload)
    match rng.randrange(7):
        case 0:
            place = rng.randrange(5)
            value = rng.choice((0, 1, 15, 16, 17, 31, 33, 48, 4096, 4097, 32768, 65535))
            out[2 * place : 2 * place + 2] = struct.pack(">H", value)
        case 1:
            out[26 + rng.randrange(5)] = rng.randrange(256)
        case 2:
            count = rng.choice((0, 1, 2, 3, 17, 255))
            listed = rng.choices(range(18), k=count)
            out[31 : 32 + 2 * out[31]] = bytes([count, *(b for n in listed for b in (n, 0))])
        case 3:
            place = 32 + rng.randrange(out[31]) * 2 if out[31] else 32
            out[place : place + 2] = bytes([rng.randrange(20), rng.randrange(256)])
        case 4:
            behind = 32 + 2 * out[31]
            out[behind:] = b"".join(_varint(rng) for _ in range(6)) + _text(rng) + _text(rng)
            out.append(rng.randrange(9))
        case 5:
            out[-1] = rng.choice((0, 1, 2, 5, 6, 7, 255))
        case _:
            return _scattered(rng, payload)
    return bytes(out)


def _frame(rng: Random, payload: bytes) -> bytes:
    """Another SEI, type, quality, number, place, time, filter, section or CRC."""
    out = bytearray(payload)
    if len(out) < 14:
        return _scattered(rng, payload)
    match rng.randrange(10):
        case 0:
            values = rng.choices((0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 65535), k=2)
            out[:4] = struct.pack(">HH", *values)
        case 1:
            out[4] ^= rng.choice((0x80, 0x40, 0xC0, 1, 0x3F))
        case 2:
            out[5:6] = _varint(rng)
        case 3:
            out[4] |= 0x40
            out[6:6] = _varint(rng) + _varint(rng)
        case 4:
            out[6:8] = rng.randbytes(2)
        case 5:  # somewhere in mask, motion and latents
            place = rng.randrange(8, len(out))
            out[place : place + rng.choice((0, 1, 4))] = rng.randbytes(rng.choice((0, 1, 4, 9)))
        case 6:
            _place(rng, out)
        case 7 if out[4] & 0xC0 == 0xC0:  # the modes and vectors of a bidirectional frame
            start = min(9, len(out) - 5)
            place = rng.randrange(start, min(start + 20, len(out) - 4))
            out[place : place + 1] = rng.randbytes(rng.randrange(3))
        case 8:
            mask, motion, latents = (rng.randbytes(rng.choice((0, 1, 4, 40))) for _ in range(3))
            keep = out[:8], out[-4:]
            out = keep[0] + varint(len(mask)) + mask + varint(len(motion)) + motion
            out += latents + keep[1]
        case _:
            out[-4:] = rng.randbytes(4)
    return bytes(out)


def _place(rng: Random, out: bytearray) -> None:
    """Another second byte, shift or distances, of frames that have them and of others."""
    if out[4] & 0xC0 != 0xC0:
        out[4] |= 0xC0
        shift = rng.choice((0, 1, 2, 3, 4, 5, 31, 32, 33, 34))
        second = rng.choice((0x18, 0x19, 0x1A, 0x0A, 0x5A, 0x1B, rng.randrange(256)))
        out[5:6] = bytes([second, out[5], shift, rng.choice((0, 0x11, 0x30, 0xFF))])
    elif rng.random() < 0.4:
        out[5] ^= 1 << rng.randrange(8)
    else:
        out[7:9] = bytes([rng.choice((0, 1, 2, 3, 4, 5, 8, 32, 33, 127)), rng.randrange(256)])


def _index(rng: Random, payload: bytes) -> bytes:
    if rng.random() < 0.5:
        return _scattered(rng, payload)
    count = rng.choice((0, 1, 5, 300))
    entries = b"".join(varint(rng.randrange(4)) + _varint(rng) + b"\0" for _ in range(count))
    return _varint(rng) + _varint(rng) + varint(count) + entries


def _tail(rng: Random, payload: bytes) -> bytes:
    return rng.choice((struct.pack(">Q", _number(rng)), payload[:-1], payload + b"\0", b""))


# --- chunks and bytes -----------------------------------------------------------------------


def _bytes(rng: Random, chunks: list[tuple[bytes, bytes]], seeds: list[bytes]) -> None:
    """Bytes changed, inserted or removed in one payload."""
    at = rng.randrange(len(chunks))
    kind, payload = chunks[at]
    out = bytearray(payload)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(out) + 1)
        out[place : place + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    chunks[at] = kind, bytes(out)


def _order(rng: Random, chunks: list[tuple[bytes, bytes]], seeds: list[bytes]) -> None:
    """Chunks moved, repeated, dropped, exchanged with another stream's, or of another type."""
    at, to = rng.randrange(len(chunks)), rng.randrange(len(chunks))
    match rng.randrange(7):
        case 0:
            chunks[at], chunks[to] = chunks[to], chunks[at]
        case 1:
            chunks.insert(to, chunks[at])
        case 2:
            del chunks[at]
        case 3:
            del chunks[min(at, to) : max(at, to)]
        case 4:
            chunks[at] = rng.choice(TYPES), chunks[at][1]
        case 5:
            chunks[to] = rng.choice(sections(rng.choice(seeds)))
        case _:
            chunks[at:at] = [chunks[at]] * rng.choice((2, 10, 60))


def _embed(rng: Random, chunks: list[tuple[bytes, bytes]], seeds: list[bytes]) -> None:
    """A chunk that holds a stream, or what looks like the beginning of one."""
    inside = rng.choice(seeds)
    if rng.random() < 0.3:
        lures = (rng.choice(LURES) + struct.pack(">I", rng.choice(NUMBERS) & 0x3FFFFFF)
                 for _ in range(rng.choice((1, 5, 200))))  # fmt: skip
        inside = b"".join(lures)
    kind = rng.choice((b"TRAK", b"PKT ", b"note", b"FRAM"))
    chunks.insert(rng.randrange(len(chunks) + 1), (kind, rng.randbytes(rng.randrange(9)) + inside))
