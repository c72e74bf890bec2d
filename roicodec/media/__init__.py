"""Reading and writing of video files, with every track beside the pictures."""

from __future__ import annotations

from roicodec.media.extras import Chapter, Extras
from roicodec.media.info import VideoInfo
from roicodec.media.reader import Reader
from roicodec.media.tracks import Problems, Track, TrackPacket
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
