"""Delta-QP maps of Kvazaar as ROI."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.masks import Mask, cells_of, grid_shape
from roicodec.encoder.roi.grades import Grade
from roicodec.errors import InputError
from roicodec.picture import Picture

__all__ = ["KvazaarRoi"]

_MAX_DELTA_QP = 51
_MAX_MAP_CELLS = 1 << 24


class KvazaarRoi:
    """A delta-QP map of Kvazaar's ``--roi``: text, or binary when the name ends in ``.bin``.

    Each frame: width and height of the map, then its delta-QPs in raster order (binary: two
    little-endian int32, then int8). At its end the file starts again. ROI is where delta-QP is
    negative; in a file without negative values, where it is 0 while others are positive. A map as
    large as the grid is taken cell by cell; any other is stretched over the frame.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._path = path
        self._size = width, height
        self._read = _binary_maps if path.suffix.lower() == ".bin" else _text_maps
        self._count = 0
        lowest, highest = 0, 0
        for values in self._maps():
            self._count += 1
            lowest = min(lowest, int(values.min()))
            highest = max(highest, int(values.max()))
        if not self._count:
            raise InputError(f"{path}: holds no ROI map")
        self._below = 1 if lowest == 0 < highest else 0
        self._restart()

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        position = index % self._count
        if position < self._next:
            self._restart()
        for values in self._frames:
            self._next += 1
            if self._next > position:
                self._now = values
                return self._to_grid(np.asarray(values < self._below))
        raise InputError(f"{self._path}: changed while it was read")

    def grades(self) -> list[Grade]:
        finer = -self._now.astype(np.float64)
        # Of several values in a cell, the finest.
        steps = [np.where(self._to_grid(finer >= q), q, -np.inf) for q in np.unique(finer)]
        return [Grade(np.asarray(np.max(steps, 0)), shares=False)]

    def close(self) -> None:
        self._frames.close()

    def _restart(self) -> None:
        self._next = 0
        self._frames = self._maps()

    def _maps(self) -> Generator[NDArray[np.int8], None, None]:
        try:
            with self._path.open("rb") as file:
                yield from self._read(self._path, file)
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read: {error.strerror}") from None

    def _to_grid(self, roi: Mask) -> Mask:
        width, height = self._size
        if roi.shape == grid_shape(width, height):
            return roi
        rows = np.arange(height) * roi.shape[0] // height
        columns = np.arange(width) * roi.shape[1] // width
        return cells_of(roi[rows][:, columns])


def _checked_map(
    path: Path, number: int, width: int, height: int, read: Callable[[int], NDArray[np.int64]]
) -> NDArray[np.int8]:
    where = f"{path}: ROI map {number}"
    if width <= 0 or height <= 0 or width * height > _MAX_MAP_CELLS:
        raise InputError(f"{where}: {width}x{height} is not a possible size of a map")
    values = read(width * height)
    if len(values) < width * height:
        raise InputError(
            f"{where}: {width}x{height} needs {width * height} delta-QPs, "
            f"but the file ends after {len(values)}"
        )
    outside = np.abs(values) > _MAX_DELTA_QP
    if outside.any():
        raise InputError(
            f"{where}: delta-QP {values[outside][0]} is outside -{_MAX_DELTA_QP}..{_MAX_DELTA_QP}"
        )
    return values.reshape(height, width).astype(np.int8)


def _binary_maps(path: Path, file: BinaryIO) -> Iterator[NDArray[np.int8]]:
    number = 0
    while header := file.read(8):
        if len(header) < 8:
            raise InputError(f"{path}: ROI map {number}: the file ends within its size")
        width, height = struct.unpack("<ii", header)
        yield _checked_map(
            path,
            number,
            width,
            height,
            lambda count: np.frombuffer(file.read(count), np.int8).astype(np.int64),
        )
        number += 1


def _text_maps(path: Path, file: BinaryIO) -> Iterator[NDArray[np.int8]]:
    words = _words(file)

    def integers(count: int) -> NDArray[np.int64]:
        taken = list(islice(words, count))
        try:
            return np.array([int(word) for word in taken], np.int64)
        except (ValueError, OverflowError):
            bad = next(word for word in taken if not re.fullmatch(rb"[+-]?\d{1,18}", word))
            text = bad[:20].decode("ascii", "replace")
            raise InputError(
                f"{path}: ROI map {number}: '{text}' is not a whole number "
                "(a text map is: width height, then width x height delta-QPs)"
            ) from None

    number = 0
    while len(size := integers(2)):
        if len(size) < 2:
            raise InputError(f"{path}: ROI map {number}: the file ends within its size")
        yield _checked_map(path, number, int(size[0]), int(size[1]), integers)
        number += 1


def _words(file: BinaryIO) -> Iterator[bytes]:
    """Words between white space, read block by block: a map may be one endless line."""
    rest = b""
    while block := file.read(1 << 16):
        *whole, rest = re.split(rb"\s+", rest + block)
        yield from filter(None, whole)
        if len(rest) > 64:
            yield rest
            rest = b""
    if rest:
        yield rest
