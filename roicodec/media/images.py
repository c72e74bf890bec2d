"""Numbered images, one a picture."""

from __future__ import annotations

import re

import numpy as np

from roicodec.errors import InputError
from roicodec.media.extras import Extras
from roicodec.media.info import VideoInfo
from roicodec.media.rgb import rgb_from_picture
from roicodec.media.tracks import TrackPacket
from roicodec.output import OutputFile
from roicodec.picture import Picture

__all__ = ["ImageSink", "image_name"]

_JPEG_QUALITY = 95
_NUMBER = re.compile(r"%(?:0([1-9]))?d")


def image_name(pattern: str, number: int) -> str:
    """Name of one image.

    Args:
        pattern: with ``%d`` or ``%04d`` for the number, once.
        number: of the image.

    Raises:
        InputError: if the pattern has no place for the number, or several.
    """
    if len(_NUMBER.findall(pattern)) != 1:
        raise InputError(
            f"{pattern}: is one image for many pictures; number them, as in out_%04d.png"
        )
    return _NUMBER.sub(lambda found: f"{number:0{found[1] or 1}d}", pattern)


class ImageSink:
    """Images in RGB, numbered from 1, each of which appears under its name when it is complete.

    Args:
        pattern: their names, as :func:`image_name` takes it.
        info: description of the pictures.
        extras: tracks, tags and chapters, for which images have no place.
        replace: whether existing files may be replaced.
        warnings: takes lines on what images cannot hold.
    """

    def __init__(
        self, pattern: str, info: VideoInfo, extras: Extras, replace: bool, warnings: list[str]
    ) -> None:
        image_name(pattern, 1)
        self._pattern, self._info, self._replace = pattern, info, replace
        self._ending = "." + pattern.rsplit(".", 1)[-1].lower()
        self._count = 0
        if extras.tracks:
            names = ", ".join(map(str, extras.tracks))
            warnings.append(f"images hold pictures only; left out: {names}")
        if info.display_matrix is not None:
            warnings.append(
                f"images are not turned; the display matrix ({info.rotation} degrees) is left out"
            )

    def write(self, picture: Picture) -> None:
        import cv2  # which other outputs need not wait for

        self._count += 1
        info = self._info
        rgb = rgb_from_picture(picture, info.color_matrix, info.color_range)
        options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        _, data = cv2.imencode(self._ending, np.ascontiguousarray(rgb[..., ::-1]), options)
        name = image_name(self._pattern, self._count)
        with OutputFile(name, replace=self._replace) as file:
            file.stream.write(data.tobytes())

    def write_packet(self, packet: TrackPacket) -> None:
        pass

    def finish(self) -> None:
        pass

    def abort(self) -> None:
        pass
