"""Sources of each frame's ROI: rectangles, mask files, Kvazaar maps, saliency.

``docs/roi.md`` describes every form for users.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import CELL
from roicodec.bitstream.masks import Mask, cells_of, grid_shape
from roicodec.encoder.roi.auto import AutoRoi
from roicodec.encoder.roi.grades import Grade, grades_of
from roicodec.encoder.roi.kvazaar import KvazaarRoi
from roicodec.encoder.roi.saliency import Moving, SaliencyModel
from roicodec.errors import InputError
from roicodec.media.source import open_container
from roicodec.picture import Picture, Plane

__all__ = [
    "ArrayRoi",
    "KvazaarRoi",
    "NoRoi",
    "RectangleRoi",
    "RoiSource",
    "UnionRoi",
    "is_given",
    "parse_roi",
]

_MODELS = ("auto", "faces", "people", "moving")
_QP_RANGE = 51
"""QPs that an ``addroi`` offset of 1 stands for, with x264 and x265 at 8 bits."""
_ASKED = 0.5
"""Chance from which a cell is a face, a person, or moves."""
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_NUMBERS = re.compile(rf"\s*{_NUMBER}\s*(?:,\s*{_NUMBER}\s*)*")


class RoiSource(Protocol):
    """Source of the ROI mask of one frame after the other."""

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        """The mask of a frame, bool ``[ceil(H/16), ceil(W/16)]``; the caller may keep it.

        Args:
            index: number of the frame in the input, from 0; ascending from call to call is fast.
            time: its presentation time in seconds, from the start of the input.
            picture: the frame.
            reference: the frame of the input before it; ``None`` for the first.

        Raises:
            InputError: if the source has no (fitting) mask for this frame.
        """

    def close(self) -> None:
        """Release of the files."""


class NoRoi:
    """``none``: no frame has a ROI; the whole frame is non-ROI, with one bit-width."""

    def __init__(self, width: int, height: int) -> None:
        self._shape = grid_shape(width, height)

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        return np.zeros(self._shape, np.bool_)

    def close(self) -> None:
        pass


class RectangleRoi:
    """A rectangle of luma samples, for all frames or for ``start <= time < end`` (seconds).

    ``offset`` is ``addroi``'s: -1..0 of the range of QPs, by which it is finer.
    """

    def __init__(
        self,
        rectangle: tuple[int, int, int, int],
        frame_size: tuple[int, int],
        *,
        start: float = 0.0,
        end: float = float("inf"),
        offset: float | None = None,
    ) -> None:
        x, y, w, h = rectangle
        width, height = frame_size
        self._empty = np.zeros(grid_shape(width, height), np.bool_)
        self._inside = self._empty.copy()
        self._inside[y // CELL : -(-(y + h) // CELL), x // CELL : -(-(x + w) // CELL)] = True
        self._start, self._end = start, end
        self._now = self._empty
        self._finer = None if offset is None else -offset * _QP_RANGE

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        self._now = self._inside if self._start <= time < self._end else self._empty
        return self._now.copy()

    def grades(self) -> list[Grade]:
        if self._finer is None:
            return []
        return [Grade(np.where(self._now, self._finer, np.nan), shares=False)]

    def close(self) -> None:
        pass


class ArrayRoi:
    """Masks in a ``.npy`` or ``.npz`` file: ``[H, W]`` for all frames, or ``[frames, H, W]``.

    Of an ``.npz`` the array ``mask`` is used, or its only one. bool or integers; a frame whose
    largest value is 1 is read as 0/1, any other as gray with ROI above 127.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._path = path
        try:
            loaded = np.load(path, mmap_mode="r", allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                with loaded:
                    names = loaded.files
                    key = "mask" if "mask" in names or len(names) != 1 else names[0]
                    loaded = loaded[key]
        except KeyError:
            found = ", ".join(names) or "none"
            raise InputError(f"{path}: needs an array named 'mask'; it has: {found}") from None
        except Exception as error:
            raise InputError(f"{path}: cannot be read as a numpy array file: {error}") from None
        array: NDArray[np.generic] = loaded
        if array.dtype.kind not in "bui":
            raise InputError(f"{path}: masks must be bool or integer, not {array.dtype}")
        if array.ndim not in (2, 3) or array.size == 0:
            raise InputError(
                f"{path}: a mask array must be [height, width] or [frames, height, width], "
                f"not {list(array.shape)}"
            )
        _check_size(path, array.shape[-1], array.shape[-2], width, height)
        self._frames = array if array.ndim == 3 else array[None]

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        count = len(self._frames)
        if count > 1 and index >= count:
            raise _too_short(self._path, count, index)
        frame = np.asarray(self._frames[index if count > 1 else 0])
        self._gray = frame
        return cells_of(frame > 127 if frame.max() > 1 else frame == 1)

    def grades(self) -> list[Grade]:
        return [_gray_grade(self._gray, 255 if self._gray.max() > 1 else 1)]

    def close(self) -> None:
        pass


class _MediaRoi:
    """A mask image or video, read through PyAV frame by frame; ROI is gray above 127.

    Frame ``i`` serves frame ``i`` of the input; a file with a single frame serves all.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._path = path
        self._size = width, height
        self._container: av.container.InputContainer | None = None
        first = list(islice(self._decode(), 2))
        if not first:
            raise InputError(f"{path}: holds no picture to use as a ROI mask")
        self._still: Mask | None = None
        if len(first) == 1:
            top = int(first[0].max())
            if 0 < top <= 127:
                raise InputError(
                    f"{path}: its brightest sample is {top}, so nothing would be ROI "
                    "(ROI is gray above 127): scale the mask to 0..255"
                )
            self._still, self._gray = cells_of(first[0] > 127), first[0]
            self.close()
        else:
            self._restart()

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        if self._still is not None:
            return self._still.copy()
        if index < self._next:
            self._restart()
        for gray in self._pictures:
            self._next += 1
            if self._next > index:
                self._gray = gray
                return cells_of(gray > 127)
        raise _too_short(self._path, self._next, index)

    def grades(self) -> list[Grade]:
        return [_gray_grade(self._gray, 255)]

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _restart(self) -> None:
        self._next = 0
        self._pictures = self._decode()

    def _decode(self) -> Iterator[Plane]:
        self.close()
        try:
            self._container = open_container(str(self._path))
            if not self._container.streams.video:
                raise InputError(f"{self._path}: holds no picture to use as a ROI mask")
            for frame in self._container.decode(video=0):
                _check_size(self._path, frame.width, frame.height, *self._size)
                yield np.asarray(frame.to_ndarray(format="gray"), np.uint8)
        except av.error.FFmpegError as error:
            raise InputError(
                f"{self._path}: cannot be read as a ROI mask ({error.strerror}); known are images, "
                "videos, .npy/.npz arrays, and Kvazaar ROI files (.txt, .bin)"
            ) from None


class UnionRoi:
    """A cell is ROI when one of the sources says so."""

    def __init__(self, sources: Sequence[RoiSource]) -> None:
        self.sources = tuple(sources)

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        masks = [source.mask(index, time, picture, reference) for source in self.sources]
        return np.asarray(np.logical_or.reduce(masks))

    def grades(self) -> list[Grade]:
        return [grade for source in self.sources for grade in grades_of(source)]

    def close(self) -> None:
        for source in self.sources:
            source.close()


def is_given(roi: RoiSource) -> bool:
    """Whether a ROI is as its user drew it, and no part of it was found by a model."""
    if isinstance(roi, UnionRoi):
        return all(map(is_given, roi.sources))
    return not isinstance(roi, AutoRoi)


def parse_roi(
    specs: Sequence[str],
    width: int,
    height: int,
    *,
    share: float | None = None,
    level: float | None = None,
    saliency: SaliencyModel | None = None,
) -> RoiSource:
    """Source of what ``--roi`` names, once or several times (then the union counts).

    Args:
        specs: each ``auto``, ``faces``, ``people``, ``moving``, ``none``, a rectangle
            ``x,y,w,h[,offset][,start,end]`` (luma samples and seconds), or a file: mask image or
            video, ``.npy``/``.npz``, Kvazaar ``.txt``/``.bin``.
        width, height: size of the video's frames in luma samples.
        share: for ``auto`` and the like: share of the frame's area that becomes ROI, 0..1; by
            default what the content calls for, and for the others all from a chance of a half.
        level: for these: instead of ``share``, the saliency (0..1) from which a cell is ROI.
        saliency: for these: the model; by default the one that the name stands for.

    Raises:
        InputError: one line that says which specification is wrong, and how.
    """
    if "none" in specs and len(specs) > 1:
        raise InputError("--roi none cannot be combined with other ROI sources")
    with contextlib.ExitStack() as opened:
        sources: list[RoiSource] = []
        for spec in specs:
            source: RoiSource
            if spec == "none":
                source = NoRoi(width, height)
            elif spec in _MODELS:
                model = saliency or _model(spec)
                asked = level
                if spec != "auto" and share is None and level is None:
                    asked = _ASKED  # whoever asks for faces wants them, whatever they save
                source = AutoRoi(model, width, height, share=share, level=asked)
            elif _NUMBERS.fullmatch(spec):
                source = _parse_rectangle(spec, width, height)
            else:
                source = _open_file(spec, width, height)
            opened.callback(source.close)
            sources.append(source)
        opened.pop_all()
    if not sources:
        return NoRoi(width, height)
    return sources[0] if len(sources) == 1 else UnionRoi(sources)


def _model(spec: str) -> SaliencyModel:
    if spec == "moving":
        return Moving()
    # Only here is torch needed: masks of other sources come without it.
    from roicodec.encoder.roi.network import load_saliency

    return load_saliency("faces" if spec == "faces" else "people" if spec == "people" else "auto")


def _parse_rectangle(spec: str, width: int, height: int) -> RectangleRoi:
    form = f"ROI rectangle '{spec}'"
    numbers = [float(part) for part in spec.split(",")]
    if not 4 <= len(numbers) <= 7:
        raise InputError(
            f"{form}: has {len(numbers)} numbers; the form is x,y,w,h[,offset][,start,end]"
        )
    if any(number != int(number) for number in numbers[:4]):
        raise InputError(f"{form}: x, y, w, h must be whole luma samples")
    x, y, w, h = (int(number) for number in numbers[:4])
    if w <= 0 or h <= 0:
        raise InputError(f"{form}: width and height must be positive")
    if x < 0 or y < 0 or x + w > width or y + h > height:
        raise InputError(f"{form}: reaches outside the {width}x{height} frame")
    if len(numbers) in (5, 7) and not -1 <= numbers[4] < 0:
        raise InputError(
            f"{form}: offset must be in -1..0 and below 0 (as addroi's qoffset, negative is finer)"
        )
    offset = numbers[4] if len(numbers) in (5, 7) else None
    if len(numbers) < 6:
        return RectangleRoi((x, y, w, h), (width, height), offset=offset)
    start, end = numbers[-2:]
    if not 0 <= start < end:
        raise InputError(f"{form}: needs 0 <= start < end, in seconds")
    return RectangleRoi((x, y, w, h), (width, height), start=start, end=end, offset=offset)


def _open_file(spec: str, width: int, height: int) -> RoiSource:
    path = Path(spec)
    if not path.is_file():
        raise InputError(
            f"--roi '{spec}': neither {', '.join(_MODELS)}, none, a rectangle "
            "x,y,w,h[,offset][,start,end], nor a file that exists"
        )
    openers: dict[str, Callable[[Path, int, int], RoiSource]] = {
        ".npy": ArrayRoi,
        ".npz": ArrayRoi,
        ".txt": KvazaarRoi,
        ".bin": KvazaarRoi,
    }
    return openers.get(path.suffix.lower(), _MediaRoi)(path, width, height)


def _gray_grade(gray: NDArray[np.generic], white: int) -> Grade:
    """Grade of a gray mask: that of the brightest sample of each cell."""
    height, width = gray.shape
    rows = np.maximum.reduceat(np.asarray(gray, np.float64), np.arange(0, height, CELL), axis=0)
    cells = np.maximum.reduceat(rows, np.arange(0, width, CELL), axis=1)
    return Grade(np.clip(cells / white, 0.0, 1.0), shares=True)


def _check_size(path: Path, got_width: int, got_height: int, width: int, height: int) -> None:
    if (got_width, got_height) != (width, height):
        raise InputError(
            f"{path}: the mask is {got_width}x{got_height}, but the video is {width}x{height}: "
            "scale the mask to the video's size"
        )


def _too_short(path: Path, count: int, index: int) -> InputError:
    return InputError(
        f"{path}: holds {count} masks, but frame {index} of the video needs one "
        "(masks go frame by frame; a file with a single mask serves all)"
    )
