"""Description of a video apart from its pictures: size, timing, aspect and colour description."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from roicodec.errors import InputError

__all__ = ["ASSUMED_RATE", "IMAGES", "MAX_AREA", "MAX_SIDE", "MIN_SIDE", "VideoInfo"]

ASSUMED_RATE = Fraction(25)
"""Frames per second where the source does not say."""
IMAGES = ("png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp")
"""Endings of the names of images that can be written."""
MIN_SIDE, MAX_SIDE, MAX_AREA = 16, 4096, 4096 * 2304


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Description of a video whose pictures are 8-bit 4:2:0.

    Colour fields describe the 4:2:0 pictures (what a player must assume to show them right), by
    FFmpeg's numbers; those of matrix, primaries and transfer are ITU-T H.273's.

    Attributes:
        width, height: luma samples, 16..4096 each, at most 4096 * 2304 together.
        time_base: seconds per unit of ``Picture.pts`` and ``Picture.duration``.
        frame_rate: average frames per second; None when unknown.
        sample_aspect_ratio: width by height of a sample; 0 when unknown.
        color_range: 0 unknown, 1 limited ("TV"), 2 full.
        color_matrix, color_primaries, color_transfer: 2 when unknown.
        chroma_location: 0 unknown, 1 left, 2 centre, 3 top left, 4 top, 5 bottom left, 6 bottom.
        display_matrix: how a player turns or mirrors the picture: nine numbers, 3x3 by rows, in
            16.16 fixed point (the last column 2.30), as in ISO/IEC 14496-12, section 6.2.2; None
            when it is shown as it is.
        pixel_format: of the source, by FFmpeg's name, before any conversion to ``yuv420p``.
        field_order: ``tt`` or ``bb`` of interlaced pictures, whose first field is the top or the
            bottom one; empty when progressive or unknown.
        mastering_display: of HDR10, ``G(x,y)B(x,y)R(x,y)WP(x,y)L(most,least)`` in units of
            0.00002 and 0.0001 candela per square metre; empty when unknown.
        content_light: of HDR10, largest and average light level in candela per square metre,
            ``1000,400``; empty when unknown.
    """

    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction | None = None
    sample_aspect_ratio: Fraction = Fraction(0)
    color_range: int = 0
    color_matrix: int = 2
    color_primaries: int = 2
    color_transfer: int = 2
    chroma_location: int = 0
    display_matrix: tuple[int, ...] | None = None
    pixel_format: str = "yuv420p"
    field_order: str = ""
    mastering_display: str = ""
    content_light: str = ""

    def __post_init__(self) -> None:
        sides = (self.width, self.height)
        if min(sides) < MIN_SIDE or max(sides) > MAX_SIDE or self.width * self.height > MAX_AREA:
            raise InputError(
                f"picture size {self.width}x{self.height} is not supported; scale it to between"
                f" {MIN_SIDE}x{MIN_SIDE} and 4096x2304"
            )

    @property
    def rotation(self) -> int:
        """Degrees, -180..180, by which a player turns the picture counterclockwise."""
        if self.display_matrix is None:
            return 0
        a, b = self.display_matrix[:2]
        return -round(math.degrees(math.atan2(b, a))) if a or b else 0
