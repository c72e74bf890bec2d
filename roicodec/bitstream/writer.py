"""Writing of ``.rq`` streams: ``magic, version, chunk*``, from header to trailer."""

from __future__ import annotations

import struct
from typing import BinaryIO, Self

from roicodec.bitstream.chunks import FRAME, HEADER, INDEX, PACKET, TRACK, TRAILER, pack_chunk
from roicodec.bitstream.constants import INTRA, MAGIC
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.index import IndexEntry, pack_index

__all__ = ["StreamWriter"]


class StreamWriter:
    """Writer of a stream to a file object, which need not be seekable.

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
        self._write(MAGIC + struct.pack(">H", header.version))
        self._chunk(HEADER, header.pack())

    def write_track(self, payload: bytes) -> int:
        """Chunk of a track description, before the first frame; the number of bytes written."""
        if self.frames:
            raise ValueError("tracks come before the first frame")
        self._others += 1
        return self._chunk(TRACK, payload)

    def write_packet(self, payload: bytes) -> int:
        """Chunk of a media track's packet; the number of bytes written."""
        self._others += 1
        return self._chunk(PACKET, payload)

    def write_frame(self, frame: FrameChunk) -> int:
        """Chunk of the next frame, the first of them intra; the number of bytes written."""
        if frame.kind == INTRA:
            self._entries.append(IndexEntry(self.frames, self.position, frame.pts))
        elif not self.frames:
            raise ValueError("the first frame of a stream must be intra")
        size = self._chunk(FRAME, frame.pack(self.header, self.frames))
        self.frames += 1
        return size

    def close(self) -> None:
        """End of the stream: index and trailer."""
        offset = self.position
        self._chunk(INDEX, pack_index(self._entries, self.frames, self._others, self.header))
        self._chunk(TRAILER, struct.pack(">Q", offset))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()

    def _chunk(self, kind: str, payload: bytes) -> int:
        return self._write(pack_chunk(kind, payload))

    def _write(self, data: bytes) -> int:
        self._file.write(data)
        self.position += len(data)
        return len(data)
