"""Writers of masks for other tools: Kvazaar ROI files and gray videos, which ``--roi`` can read."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from roicodec.bitstream.masks import Mask, samples_of
from roicodec.errors import InputError
from roicodec.output import OutputFile

__all__ = ["MaskWriter", "open_mask_writer"]

_DELTA_QP = -6
_RATE = Fraction(25)
_KVAZAAR = (".txt", ".bin")
_VIDEO = {
    ".mkv": ("matroska", "ffv1"),
    ".avi": ("avi", "ffv1"),
    ".nut": ("nut", "ffv1"),
    ".mp4": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
}


class MaskWriter(Protocol):
    """Writer of the mask of one frame after the other."""

    def write(self, mask: Mask) -> None:
        """A mask, bool ``[ceil(H/16), ceil(W/16)]``."""

    def close(self) -> None:
        """End of the file; masks that were held back are written."""


@contextmanager
def open_mask_writer(
    target: str, width: int, height: int, rate: Fraction = Fraction(0)
) -> Iterator[MaskWriter]:
    """A writer of the kind that the target's name asks for; the file appears when all went well.

    ``.bin`` and ``.txt`` are Kvazaar's ``--roi`` (ROI delta-QP -6, rest 0); ``.mkv``, ``.avi`` and
    ``.nut`` gray FFV1 and ``.mp4`` and ``.mov`` lossless gray H.264, of the frames' size, ROI 255
    and the rest 0.

    Args:
        target: a path.
        width, height: of the frames, in luma samples.
        rate: frames a second of a video; 0 where unknown, which becomes 25.

    Raises:
        InputError: if the name has another ending, or the file cannot be written.
    """
    ending = Path(target).suffix.lower()
    if ending not in (*_KVAZAAR, *_VIDEO):
        known = ", ".join((*_KVAZAAR, *_VIDEO))
        raise InputError(f"{target}: the name of a ROI map must end in one of {known}")
    with OutputFile(target) as out:
        writer: MaskWriter
        if ending in _KVAZAAR:
            writer = _KvazaarWriter(out.stream, binary=ending == ".bin")
        else:
            writer = _VideoWriter(out.stream, *_VIDEO[ending], width, height, rate or _RATE)
        try:
            yield writer
        finally:
            writer.close()


class _KvazaarWriter:
    def __init__(self, stream: BinaryIO, *, binary: bool) -> None:
        self._stream = stream
        self._binary = binary

    def write(self, mask: Mask) -> None:
        rows, columns = mask.shape
        values = np.where(mask, _DELTA_QP, 0).astype(np.int8)
        if self._binary:
            self._stream.write(struct.pack("<ii", columns, rows) + values.tobytes())
        else:
            lines = [f"{columns} {rows}", *(" ".join(map(str, row)) for row in values.tolist())]
            self._stream.write(("\n".join(lines) + "\n").encode("ascii"))

    def close(self) -> None:
        pass


class _VideoWriter:
    def __init__(
        self, stream: BinaryIO, form: str, codec: str, width: int, height: int, rate: Fraction
    ) -> None:
        import av

        self._size = width, height
        self._container = av.open(stream, "w", format=form)
        video = self._container.add_stream(codec, rate=rate)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = width, height, "gray"
        if codec == "libx264":
            video.options = {"qp": "0"}
        self._video = video

    def write(self, mask: Mask) -> None:
        import av

        gray = samples_of(mask, *self._size).astype(np.uint8) * np.uint8(255)
        frame = av.VideoFrame.from_ndarray(gray, format="gray")
        self._container.mux(self._video.encode(frame))

    def close(self) -> None:
        self._container.mux(self._video.encode(None))
        self._container.close()
