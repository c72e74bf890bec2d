"""Pictures to RGB and back, by FFmpeg's scaler."""

from __future__ import annotations

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from roicodec.media.convert import picture_frame
from roicodec.picture import Picture, Plane

__all__ = ["picture_from_rgb", "rgb_from_picture"]

_Rgb = NDArray[np.uint8]
"""Red, green and blue, uint8 ``[H, W, 3]``."""

_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
"""By code point of ITU-T H.273, MatrixCoefficients."""
_HIGH_DEFINITION = 720
"""Lines from which an untagged picture is taken to be BT.709, else BT.601."""
_FULL = 2


def _matrix(code: int, height: int) -> Colorspace:
    untagged = Colorspace.ITU709 if height >= _HIGH_DEFINITION else Colorspace.ITU601
    return _MATRICES.get(code, untagged)


def rgb_from_picture(picture: Picture, matrix: int = 2, color_range: int = 0) -> _Rgb:
    """RGB of a 4:2:0 picture, uint8 ``[H, W, 3]``.

    Args:
        picture: to convert.
        matrix: code point of ITU-T H.273; where it is unknown (2), BT.709 from 720 lines on, BT.601
            below.
        color_range: 2 for full range, else limited.
    """
    frame = picture_frame(picture).reformat(
        format="rgb24",
        src_colorspace=_matrix(matrix, picture.height),
        src_color_range=ColorRange.JPEG if color_range == _FULL else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    return np.asarray(frame.to_ndarray(), np.uint8)


def picture_from_rgb(rgb: _Rgb, pts: int = 0, duration: int = 0) -> Picture:
    """A 4:2:0 picture of RGB samples: BT.709 from 720 lines on, BT.601 below; limited range.

    Args:
        rgb: uint8 ``[H, W, 3]``.
        pts, duration: in units of the stream's time base.
    """
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb, np.uint8), format="rgb24")
    made = frame.reformat(
        format="yuv420p",
        dst_colorspace=_matrix(2, frame.height),
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )
    return Picture(*_planes(made), pts, duration)


def _planes(frame: VideoFrame) -> tuple[Plane, Plane, Plane]:
    y, u, v = (
        np.frombuffer(memoryview(p), np.uint8).reshape(p.height, p.line_size)[:, : p.width].copy()
        for p in frame.planes
    )
    return y, u, v
