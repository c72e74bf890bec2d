"""Write masks for other tools: Kvazaar ROI files and gray videos. Both can be read as ROI again."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from roicodec.errors import InputError
from roicodec.roi.masks import Mask, samples_of

__all__ = ["write_gray_video", "write_kvazaar"]

_LOSSLESS = {".mkv": "ffv1", ".avi": "ffv1", ".nut": "ffv1", ".mp4": "libx264", ".mov": "libx264"}


def write_kvazaar(path: Path, masks: Iterable[Mask], delta_qp: int = -6) -> int:
    """Write masks as Kvazaar's ``--roi``: binary when the name ends in ``.bin``, else text.

    Args:
        path: replaced only when everything was written.
        masks: bool ``[rows, columns]`` each.
        delta_qp: of ROI cells, -51..-1; other cells get 0.

    Returns:
        How many masks were written.

    Raises:
        InputError: if the file cannot be written or ``delta_qp`` is out of range.
    """
    if not -51 <= delta_qp <= -1:
        raise InputError(f"delta-QP of the ROI must be in -51..-1, not {delta_qp}")
    binary = path.suffix.lower() == ".bin"
    count = 0
    with _replacing(path) as temporary, temporary.open("wb") as file:
        for mask in masks:
            rows, columns = mask.shape
            values = np.where(mask, delta_qp, 0).astype(np.int8)
            if binary:
                file.write(struct.pack("<ii", columns, rows) + values.tobytes())
            else:
                lines = [f"{columns} {rows}", *(" ".join(map(str, row)) for row in values.tolist())]
                file.write(("\n".join(lines) + "\n").encode("ascii"))
            count += 1
    return count


def write_gray_video(
    path: Path, masks: Iterable[Mask], width: int, height: int, *, rate: Fraction = Fraction(25)
) -> int:
    """Write masks as a lossless gray video of the frames' size, ROI 255 and the rest 0.

    Args:
        path: ``.mkv``, ``.avi`` or ``.nut`` (FFV1), ``.mp4`` or ``.mov`` (lossless H.264);
            replaced only when everything was written.
        masks: bool ``[ceil(height/16), ceil(width/16)]`` each.
        width, height: in luma samples.
        rate: frames a second.

    Returns:
        How many masks were written.

    Raises:
        InputError: if the file cannot be written or its ending is not one of these.
    """
    import av

    codec = _LOSSLESS.get(path.suffix.lower())
    if codec is None:
        raise InputError(f"{path}: a mask video's name must end in {', '.join(_LOSSLESS)}")
    count = 0
    with _replacing(path) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "gray"
        if codec == "libx264":
            stream.options = {"qp": "0"}
        for mask in masks:
            gray = samples_of(mask, width, height).astype(np.uint8) * np.uint8(255)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="gray")))
            count += 1
        container.mux(stream.encode(None))
    return count


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A name to write to, beside ``path``, that takes its place when all went well."""
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
