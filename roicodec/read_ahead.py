"""Items of a stream in its order, while frames behind them are decoded already."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from roicodec.bitstream.chunks import Chunk, Damage
from roicodec.errors import StreamError
from roicodec.factory import Decoded, PictureDecoder

__all__ = ["DecodedItem", "ReadAhead"]

D = TypeVar("D", bound=Decoded)

_ITEMS, _BYTES = 256, 1 << 23
"""Number and payloads of items that end reading ahead, for a decoder of 128 frames or less."""


@dataclass(frozen=True, eq=False)
class DecodedItem(Generic[D]):
    """An item of a stream and what became of it.

    Attributes:
        chunk: the chunk or the damage; None at the end of the stream.
        frames: frames that are ready to be shown, in presentation order.
        error: reason why the frame in the chunk could not be decoded; None for any other item.
    """

    chunk: Chunk | Damage | None
    frames: list[D]
    error: StreamError | None = None


class ReadAhead(Generic[D]):
    """Iterator over the items of a stream, and at its end what is left to be shown.

    Order, frames and errors are those of decoding one frame after another. Of a pipe no more is
    read ahead than has come already, so that no picture waits for what a live source sends later.

    Args:
        items: of the reader.
        has_come: whether reading on will not wait for someone else.
        decoder: gives the decoder; called at the first frame.
    """

    def __init__(
        self,
        items: Iterator[Chunk | Damage],
        has_come: Callable[[], bool],
        decoder: Callable[[], PictureDecoder[D]],
    ) -> None:
        self._items, self._has_come, self._get_decoder = items, has_come, decoder
        self._decoder: PictureDecoder[D] | None = None
        self._read: deque[Chunk | Damage | Exception | None] = deque()
        self._submitted = self._bytes = 0
        self._ended = self._stopped = False

    def __iter__(self) -> Iterator[DecodedItem[D]]:
        return self

    def __next__(self) -> DecodedItem[D]:
        while self._may_read():
            self._read_item()
        if not self._read:
            raise StopIteration
        chunk = self._read.popleft()
        self._bytes -= _size(chunk)
        if isinstance(chunk, Exception):
            raise chunk
        if self._decoder is None or not (chunk is None or _has_frame(chunk)):
            return DecodedItem(chunk, [])
        if chunk is None:
            return DecodedItem(chunk, list(self._decoder.rest()))
        self._submitted -= 1
        try:
            return DecodedItem(chunk, list(self._decoder.take()))
        except StreamError as error:
            return DecodedItem(chunk, [], error)

    def stop(self) -> None:
        """Notice that nothing more is to be read ahead."""
        self._stopped = True

    def close(self) -> None:
        """End of decoding what was read ahead."""
        self._read.clear()
        self._ended = True
        if self._decoder is not None:
            self._decoder.rest()

    def _may_read(self) -> bool:
        if self._ended:
            return False
        if not self._read:
            return True
        if self._decoder is None or not self._submitted or self._stopped:
            return False  # what is not decoded need not be ahead of anything
        more = max(1, 2 * self._decoder.ahead // _ITEMS)
        if len(self._read) >= more * _ITEMS or self._bytes >= more * _BYTES:
            return False
        return self._submitted < self._decoder.ahead and self._has_come()

    def _read_item(self) -> None:
        try:
            chunk = next(self._items, None)
            if isinstance(chunk, Chunk) and chunk.frame is not None:
                if self._decoder is None:
                    self._decoder = self._get_decoder()
                self._decoder.submit(chunk.frame, chunk.number)
                self._submitted += 1
        except Exception as error:  # told when the items before it have been
            self._read.append(error)
            self._ended = True
            return
        self._read.append(chunk)
        self._bytes += _size(chunk)
        self._ended = chunk is None


def _has_frame(chunk: Chunk | Damage) -> bool:
    return isinstance(chunk, Chunk) and chunk.frame is not None


def _size(chunk: Chunk | Damage | Exception | None) -> int:
    return len(chunk.payload) if isinstance(chunk, Chunk) else 0
