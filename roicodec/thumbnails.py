"""Pictures of a stream as a player shows them, small: thumbnails."""

from __future__ import annotations

from fractions import Fraction
from os import PathLike, fspath
from pathlib import PurePath
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import MAX_AREA, MAX_FRAMES
from roicodec.bitstream.header import Header
from roicodec.errors import InputError, StreamError
from roicodec.output import OutputFile
from roicodec.video import DecodedPicture, Video

__all__ = ["encoded_image", "quarter_turns", "shown_rgb", "thumbnail"]

_FORMATS = {
    ".png": [],
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 90],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 90],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, 85],
}
"""Options of the encoders of images, by suffix."""
_WAY = 0.1
"""Part of the duration near which a picture is taken where no time is given: films begin black."""


def thumbnail(
    source: str | PathLike[str] | BinaryIO,
    out: str | PathLike[str] | None = None,
    *,
    at: float | Fraction | None = None,
    width: int | None = None,
    replace: bool = True,
    backend: str | None = None,
    max_pixels: int = MAX_AREA,
    max_frames: int = MAX_FRAMES,
) -> NDArray[np.uint8]:
    """One picture of a stream as a player shows it: turned, with square samples.

    Args:
        source: path of a stream, or a binary file object that can be sought.
        out: image to write, too: .png, .jpg or .webp; it appears when it is complete.
        at: seconds from the first frame on; the picture that is shown then. None for the intra
            frame nearest to a tenth of the duration, which is decoded alone.
        width: of the image in samples, 16..4096; its height follows. None for the picture's own.
        replace: whether a file of the name ``out`` may be replaced.
        backend: of the networks; None for the fastest that is exact here.
        max_pixels, max_frames: limits for streams from strangers, as :func:`roicodec.open` takes
            them.

    Returns:
        red, green and blue, uint8 ``[H, W, 3]``.

    Raises:
        InputError: if a file cannot be opened or written, or an argument is out of its range.
        StreamError: if the picture cannot be decoded, or the stream has no index.
        ModelError: if the stream's networks are not there.
    """
    suffix = PurePath(fspath(out)).suffix.lower() if out is not None else ".png"
    if suffix not in _FORMATS:
        raise InputError(f"{fspath(out or '')}: call it .png, .jpg or .webp", parameter="out")
    if at is not None and not 0 <= at < 1e9:
        raise InputError(f"time {float(at):g}: give seconds from 0 on", parameter="at")
    if width is not None and not 16 <= width <= 4096:
        raise InputError(f"width {width}: give 16..4096", parameter="width")
    with Video(source, backend=backend, max_pixels=max_pixels, max_frames=max_frames) as video:
        if at is None:
            picture: DecodedPicture | None = video[_early(video)]
        else:
            video.seek(at)
            picture = video.read()
        if picture is None:
            raise StreamError("no picture can be decoded")
        rgb = shown_rgb(picture, video.header, width)
    if out is not None:
        with OutputFile(fspath(out), replace=replace) as file:
            file.stream.write(encoded_image(rgb, suffix))
    return rgb


def _early(video: Video) -> int:
    """Number of the intra frame nearest to :data:`_WAY` of the duration."""
    starts = video.intra_frames()
    wanted = _WAY * starts[-1][1]
    return min(starts, key=lambda start: abs(start[1] - wanted))[0]


def shown_rgb(
    picture: DecodedPicture, header: Header, width: int | None = None
) -> NDArray[np.uint8]:
    """A picture as a player shows it, uint8 ``[H, W, 3]``.

    Args:
        picture: of the stream.
        header: of the stream: rotation (by quarters; others are left out), shape of the samples.
        width: of the result, samples; None for the picture's own.
    """
    rgb = picture.to_rgb()
    aspect = float(header.sample_aspect_ratio or 1)
    rows, columns = rgb.shape[0], max(round(rgb.shape[1] * aspect), 1)
    quarters = quarter_turns(header.rotation)
    if width is not None:
        scale = width / (rows if quarters % 2 else columns)
        rows, columns = max(round(rows * scale), 1), max(round(columns * scale), 1)
    if (rows, columns) != rgb.shape[:2]:
        shrinks = rows * columns < rgb.shape[0] * rgb.shape[1]
        filter_ = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        rgb = np.asarray(cv2.resize(rgb, (columns, rows), interpolation=filter_), np.uint8)
    return np.ascontiguousarray(np.rot90(rgb, quarters))


def quarter_turns(rotation: int) -> int:
    """Quarters of a turn counterclockwise, 0..3, of a rotation in degrees; 0 for other angles."""
    return rotation // 90 % 4 if rotation % 90 == 0 else 0


def encoded_image(rgb: NDArray[np.uint8], suffix: str) -> bytes:
    """An image file of RGB samples.

    Args:
        rgb: uint8 ``[H, W, 3]``.
        suffix: ``.png``, ``.jpg``, ``.jpeg`` or ``.webp``.
    """
    done, data = cv2.imencode(suffix, rgb[:, :, ::-1], _FORMATS[suffix])
    if not done:
        raise InputError(f"OpenCV cannot write {suffix} here; choose another suffix")
    return data.tobytes()
