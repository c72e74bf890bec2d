"""The chunk: a 4-character type, a length, a payload and a CRC-32 (``docs/format.md``).

All numbers are big-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from roicodec.bitstream.constants import MAX_CHUNK
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.errors import InputError

__all__ = [
    "FRAME",
    "FRAMING",
    "HEADER",
    "INDEX",
    "PACKET",
    "TRACK",
    "TRAILER",
    "Chunk",
    "Damage",
    "pack_chunk",
]

HEADER, TRACK, PACKET, FRAME, INDEX, TRAILER = "HEAD", "TRAK", "PKT ", "FRAM", "INDX", "TAIL"
"""Chunk types."""

FRAMING = 12
"""Bytes of a chunk beside its payload."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A whole chunk of a stream.

    Attributes:
        type: its four characters.
        offset: byte of the stream where it begins.
        size: bytes in the stream, framing included.
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
    """A place where a stream is not as it was written.

    Attributes:
        offset, size: the bytes that hold no whole chunk; size 0 when no byte is wrong but
            something is missing before ``offset``.
        message: what is wrong, where.
        frames: number of frames missing just before this place, where numbering shows it: at the
            next whole frame, or at the index.
    """

    offset: int
    size: int
    message: str
    frames: int = 0


def pack_chunk(kind: str, payload: bytes) -> bytes:
    """A chunk, framed.

    Raises:
        InputError: if the payload is longer than ``MAX_CHUNK``.
    """
    if len(payload) > MAX_CHUNK:
        raise InputError(
            f"a {kind.strip()} chunk of {len(payload)} bytes; at most {MAX_CHUNK} fit in one"
        )
    body = kind.encode() + struct.pack(">I", len(payload)) + payload
    return body + struct.pack(">I", zlib.crc32(body))
