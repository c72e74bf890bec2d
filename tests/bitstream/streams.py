"""Streams taken apart and put together again."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterable

from roicodec.bitstream.chunks import INDEX, TRAILER, Chunk, Damage
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.reader import StreamReader

Make = Callable[..., bytes]
Items = list[Chunk | Damage]


def read(data: bytes) -> tuple[StreamReader, Items]:
    """A reader of a stream that it has read to the end, and what it gave."""
    reader = StreamReader(io.BytesIO(data))
    return reader, list(reader)


def frames(items: Items) -> list[tuple[int, FrameChunk]]:
    """Numbers and frames."""
    return [(i.number, i.frame) for i in items if isinstance(i, Chunk) and i.frame is not None]


def numbers(items: Items) -> list[int]:
    """Numbers of the frames."""
    return [number for number, _ in frames(items)]


def damages(items: Items) -> list[Damage]:
    """The damages among what a reader gave."""
    return [i for i in items if isinstance(i, Damage)]


def messages(items: Items) -> str:
    """Messages of all damages, one a line."""
    return "\n".join(d.message for d in damages(items))


def accounted(reader: StreamReader, items: Items) -> int:
    """Size of header and items together, each byte of which is in one alone."""
    at = reader.header_size
    for item in sorted((i for i in items if i.size), key=lambda i: i.offset):
        assert item.offset == at
        at += item.size
    return at


def chunk(kind: bytes, payload: bytes) -> bytes:
    """A chunk, written apart from the package."""
    body = kind + struct.pack(">I", len(payload)) + payload
    return body + struct.pack(">I", zlib.crc32(body))


def chunks_of(data: bytes) -> list[Chunk]:
    """The chunks of a sound stream, behind its header."""
    return [i for i in read(data)[1] if isinstance(i, Chunk)]


def joined(head: bytes, pieces: Iterable[Chunk | bytes], whole: bytes) -> bytes:
    """A stream of other chunks, its trailer corrected.

    Args:
        head: what comes before.
        pieces: chunks of ``whole``, or bytes.
        whole: the stream that the chunks are of.
    """
    out, index = bytearray(head), 0
    for piece in pieces:
        if isinstance(piece, bytes):
            out += piece
            continue
        if piece.type == TRAILER:
            out += chunk(b"TAIL", struct.pack(">Q", index))
            continue
        if piece.type == INDEX:
            index = len(out)
        out += whole[piece.offset : piece.offset + piece.size]
    return bytes(out)
