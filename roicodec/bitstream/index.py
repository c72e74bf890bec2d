"""The ``INDX`` chunk: totals of a stream, and the places where its GOPs start."""

from __future__ import annotations

from dataclasses import dataclass

from roicodec.bitstream.constants import MAX_FRAMES
from roicodec.bitstream.fields import Cursor, signed, varint
from roicodec.bitstream.frame_chunk import MIN_FRAME
from roicodec.bitstream.header import Header
from roicodec.errors import StreamError

__all__ = ["IndexEntry", "index_entries", "pack_index"]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Start of a GOP: number and time stamp of its intra frame, byte offset of its chunk."""

    number: int
    offset: int
    pts: int


def pack_index(entries: list[IndexEntry], frames: int, others: int, header: Header) -> bytes:
    """Payload of an index: numbers of frames, of other chunks and of entries, then the entries."""
    out = [varint(frames), varint(others), varint(len(entries))]
    number = offset = 0
    for entry in entries:
        out += [varint(entry.number - number), varint(entry.offset - offset),
                signed(entry.pts - header.nominal(entry.number))]  # fmt: skip
        number, offset = entry.number, entry.offset
    return b"".join(out)


def index_entries(data: Cursor, count: int, end: int, header: Header) -> list[IndexEntry]:
    """Entries of an index, in ascending order.

    Args:
        data: payload of the chunk, behind the three totals.
        count: number of entries.
        end: byte of the stream where the chunk begins; all entries point before it.
        header: of the stream.

    Raises:
        StreamError: if the entries are out of order or of range.
    """
    entries: list[IndexEntry] = []
    number = offset = 0
    for _ in range(count):
        step, distance = data.varint(), data.varint()
        number, offset = number + step, offset + distance
        if distance < MIN_FRAME or offset >= end or (entries and not step) or number >= MAX_FRAMES:
            raise StreamError("the entries of the index are not in order")
        pts = data.signed() + header.nominal(number)
        if abs(pts) >= 1 << 63:
            raise StreamError(f"the index gives frame {number} the time stamp {pts}")
        entries.append(IndexEntry(number, offset, pts))
    data.end()
    return entries
