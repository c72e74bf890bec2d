"""Chunks of a stream that arrives piece by piece."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from roicodec.bitstream.chunks import FRAMING, HEADER, Chunk
from roicodec.bitstream.constants import MAGIC, MAX_CHUNK, READABLE
from roicodec.bitstream.header import Header
from roicodec.errors import StreamError

__all__ = ["ChunkFeed"]

_START = len(MAGIC) + 2


class ChunkFeed:
    """Splitter of a stream's bytes into whole chunks, whatever the pieces they come in.

    Unlike :class:`~roicodec.bitstream.reader.StreamReader` it does not search for the next sound
    chunk after damage: who pushes bytes knows where they come from.

    Attributes:
        header: of the stream; None until it is complete.
        replaced: a line for each descriptive field of the header that was out of range and is
            "unknown" in it.
    """

    def __init__(self) -> None:
        self.header: Header | None = None
        self.replaced: list[str] = []
        self._buffer = bytearray()
        self._offset = 0

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Chunks after the header that are whole now.

        Args:
            data: the next bytes of the stream, any number.

        Raises:
            StreamError: at the first byte that is no sound chunk; with ``offset``.
        """
        self._buffer += data
        if self._offset == 0:
            if len(self._buffer) < _START:
                return
            self._start()
        while (chunk := self._next()) is not None:
            if self.header is not None:
                yield chunk
            elif chunk.type == HEADER:
                self.header, self.replaced = Header.unpack(chunk.payload, self._version)
            else:
                raise StreamError("the stream does not begin with its header").at(
                    offset=chunk.offset
                )

    def _start(self) -> None:
        if self._buffer[: len(MAGIC)] != MAGIC:
            raise StreamError("not an .rq stream (its first bytes are others)").at(offset=0)
        (version,) = struct.unpack_from(">H", self._buffer, len(MAGIC))
        if version not in READABLE:
            raise StreamError(
                f"format version {version} is unknown; this program reads versions {READABLE[0]}"
                f" to {READABLE[-1]}"
            ).at(offset=len(MAGIC))
        self._version = version
        self._drop(_START)

    def _next(self) -> Chunk | None:
        if len(self._buffer) < 8:
            return None
        (length,) = struct.unpack_from(">I", self._buffer, 4)
        if length > MAX_CHUNK or not self._buffer[:4].isascii():
            raise StreamError(f"no chunk at byte {self._offset}").at(offset=self._offset)
        size = length + FRAMING
        if len(self._buffer) < size:
            return None
        body = bytes(self._buffer[: size - 4])
        if zlib.crc32(body) != int.from_bytes(self._buffer[size - 4 : size], "big"):
            raise StreamError(f"the chunk at byte {self._offset} is damaged").at(
                offset=self._offset
            )
        chunk = Chunk(body[:4].decode("ascii"), self._offset, size, body[8:])
        self._drop(size)
        return chunk

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count
