"""What a stream's header says of its video, and back."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from roicodec import __version__
from roicodec.bitstream.header import Header
from roicodec.media import Extras, Problems, VideoInfo
from roicodec.media.properties import with_properties

__all__ = ["header_of", "video_info_of"]

_CARRIED = (
    "width",
    "height",
    "time_base",
    "sample_aspect_ratio",
    "pixel_format",
    "color_range",
    "color_matrix",
    "color_primaries",
    "color_transfer",
    "chroma_location",
)
"""Fields that a stream's header has of its video, by the same name."""


def header_of(info: VideoInfo, gop: int, fields: Mapping[str, Any]) -> tuple[Header, list[str]]:
    """Header of a video's stream, and a line for each field that had to be replaced.

    Args:
        info: of the video.
        gop: most frames from one intra frame to the next.
        fields: that the encoder decides.
    """
    return Header.mended(
        **_carried(info),
        gop=gop,
        frame_rate=info.frame_rate or Fraction(0),
        rotation=info.rotation,
        encoder=f"roicodec {__version__}",
        **fields,
    )


def video_info_of(header: Header, extras: Extras) -> tuple[VideoInfo, Problems]:
    """Description of the video that a stream becomes, and what of it cannot be."""
    problems = Problems()
    info = VideoInfo(
        **_carried(header),
        frame_rate=header.frame_rate or None,
        display_matrix=extras.display_matrix,
    )
    return with_properties(info, extras.properties, problems.add), problems


def _carried(source: VideoInfo | Header) -> dict[str, Any]:
    return {name: getattr(source, name) for name in _CARRIED}
