"""Decoded frames in and out of files: any video that FFmpeg reads, and Y4M."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import numpy as np

from roicodec.errors import InputError
from roicodec.picture import Picture, Plane

__all__ = ["Shape", "Y4mWriter", "frame_to_picture", "picture_to_frame", "read", "shape_of"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Width and height in luma samples, and frames per second."""

    width: int
    height: int
    rate: Fraction


def _rows(plane: av.video.plane.VideoPlane) -> Plane:
    # The plane has the buffer protocol, which its type does not declare.
    samples: Plane = np.frombuffer(cast("memoryview[int]", plane), np.uint8)
    return samples.reshape(-1, plane.line_size)


def _plane(frame: av.VideoFrame, index: int, height: int, width: int) -> Plane:
    return _rows(frame.planes[index])[:height, :width].copy()


def frame_to_picture(frame: av.VideoFrame) -> Picture:
    """Copy a frame, converted to 8-bit 4:2:0 if it is anything else."""
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        frame = frame.reformat(format="yuv420p")
    h, w = frame.height, frame.width
    half = (h + 1) // 2, (w + 1) // 2
    return Picture(_plane(frame, 0, h, w), _plane(frame, 1, *half), _plane(frame, 2, *half))


def picture_to_frame(picture: Picture) -> av.VideoFrame:
    """A yuv420p frame with the picture's samples."""
    frame = av.VideoFrame(picture.width, picture.height, "yuv420p")
    for plane, samples in zip(frame.planes, picture.planes, strict=True):
        _rows(plane)[: samples.shape[0], : samples.shape[1]] = samples
    return frame


def _open(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be read as video ({error})") from None
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: has no video track")
    return container


def shape_of(path: Path) -> Shape:
    """Size and nominal frame rate of a file's first video track; 25 where it names none.

    Raises:
        InputError: if the file is missing or holds no video.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        return Shape(stream.width, stream.height, stream.average_rate or Fraction(25))


def read(path: Path, limit: int | None = None) -> Iterator[Picture]:
    """The first ``limit`` pictures of a file's first video track (all of them if None).

    Raises:
        InputError: if the file is missing, holds no video, or cannot be decoded.
    """
    if limit == 0:
        return
    with _open(path) as container:
        try:
            for number, frame in enumerate(container.decode(video=0), 1):
                yield frame_to_picture(frame)
                if number == limit:
                    return
        except av.FFmpegError as error:
            raise InputError(f"{path}: cannot be decoded ({error})") from None


class Y4mWriter:
    """Writes pictures to an 8-bit 4:2:0 Y4M file; a file that already has the name is replaced."""

    def __init__(self, path: Path, shape: Shape) -> None:
        self._file = path.open("wb")
        rate = f"{shape.rate.numerator}:{shape.rate.denominator}"
        header = f"YUV4MPEG2 W{shape.width} H{shape.height} F{rate} Ip A1:1 C420jpeg\n"
        self._file.write(header.encode())

    def write(self, picture: Picture) -> None:
        self._file.write(b"FRAME\n")
        for plane in picture.planes:
            self._file.write(np.ascontiguousarray(plane).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
