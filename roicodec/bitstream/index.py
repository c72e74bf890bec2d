"""The ``INDX`` chunk: totals of a stream, and the places where its GOPs start."""

from __future__ import annotations

from dataclasses import dataclass

from roicodec.bitstream.chunks import FRAMING
from roicodec.bitstream.fields import Cursor, signed, varint
from roicodec.bitstream.header import Header
from roicodec.errors import StreamError

__all__ = ["IndexEntry", "index_entries", "pack_index"]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Where a GOP starts: number and time of its intra frame, byte offset of its chunk."""

    number: int
    offset: int
    pts: int


def pack_index(entries: list[IndexEntry], frames: int, others: int, header: Header) -> bytes:
    out = [varint(frames), varint(others), varint(len(entries))]
    number = offset = 0
    for entry in entries:
        out += [varint(entry.number - number), varint(entry.offset - offset),
                signed(entry.pts - header.nominal(entry.number))]  # fmt: skip
        number, offset = entry.number, entry.offset
    return b"".join(out)


def index_entries(data: Cursor, count: int, end: int, header: Header) -> list[IndexEntry]:
    """``count`` entries, in ascending order, all before byte ``end``."""
    entries: list[IndexEntry] = []
    number = offset = 0
    for _ in range(count):
        step, distance = data.varint(), data.varint()
        number, offset = number + step, offset + distance
        if distance < FRAMING or offset >= end or (entries and not step):
            raise StreamError("its entries are not in order")
        entries.append(IndexEntry(number, offset, data.signed() + header.nominal(number)))
    data.end()
    return entries
