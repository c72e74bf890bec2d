"""Bytes of a segment, which are a stream of their own, and their way into the whole stream."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Sequence

from roicodec.bitstream.chunks import Damage
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.errors import StreamError

__all__ = ["Joiner", "pack_segment", "unpack_segment"]


def pack_segment(header: Header, frames: Sequence[FrameChunk]) -> bytes:
    """A segment as a stream without tracks, which can be decoded by itself."""
    file = io.BytesIO()
    with StreamWriter(file, header) as writer:
        for frame in frames:
            writer.write_frame(frame)
    return file.getvalue()


def unpack_segment(data: bytes, count: int) -> tuple[Header, list[FrameChunk]]:
    """Header and frames of a segment.

    Args:
        data: as :func:`pack_segment` gives.
        count: frames that it must have.

    Raises:
        StreamError: if it is damaged: every chunk has a CRC.
    """
    reader = StreamReader(io.BytesIO(data))
    frames = []
    for item in reader:
        if isinstance(item, Damage):
            raise StreamError(f"segment damaged: {item.message}")
        if item.frame is not None:
            frames.append(item.frame)
    if reader.truncated or len(frames) != count:
        raise StreamError(f"segment damaged: it has {len(frames)} of {count} frames")
    return reader.header, frames


class Joiner:
    """Joining of frames and of the packets of other tracks, each as they come.

    A packet that lies behind k pictures is written once k frames are: so the order in the stream
    does not depend on when frames are ready.

    Args:
        writer: of the whole stream.
        written: told of the numbers of frames and bytes so far, after each frame.

    Attributes:
        video_bytes: of the frame chunks so far.
    """

    def __init__(self, writer: StreamWriter, written: Callable[[int, int], None]) -> None:
        self._writer, self._written = writer, written
        self._packets: deque[tuple[int, bytes]] = deque()
        self.video_bytes = 0

    def packet(self, pictures: int, payload: bytes) -> None:
        """A packet behind so many pictures."""
        self._packets.append((pictures, payload))
        self._release(self._writer.frames)

    def frame(self, chunk: FrameChunk) -> None:
        """The next frame in coding order."""
        self.video_bytes += self._writer.write_frame(chunk)
        self._release(self._writer.frames)
        self._written(self._writer.frames, self._writer.position)

    def _release(self, frames: int) -> None:
        while self._packets and self._packets[0][0] <= frames:
            self._writer.write_packet(self._packets.popleft()[1])
