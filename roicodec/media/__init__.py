"""Reading and writing of video files, with all their tracks.

What needs PyAV is imported when it is used: listing a stream's tracks needs none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from roicodec.media.extras import Chapter, Extras
from roicodec.media.info import VideoInfo
from roicodec.media.tracks import Problems, Track, TrackPacket

if TYPE_CHECKING:
    from roicodec.media.reader import Reader
    from roicodec.media.writer import Writer

__all__ = [
    "Chapter",
    "Extras",
    "Problems",
    "Reader",
    "Track",
    "TrackPacket",
    "VideoInfo",
    "Writer",
]


def __getattr__(name: str) -> object:
    if name not in ("Reader", "Writer"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{name.lower()}"), name)
    globals()[name] = value
    return value
