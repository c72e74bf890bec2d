"""FFmpeg's containers for output: names, options, and one that forgets what it is given."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import BinaryIO

import av
from av.container import OutputContainer

from roicodec.media.tracks import Track

__all__ = [
    "MATROSKA",
    "MOV",
    "MUXERS",
    "REFUSALS",
    "muxer_options",
    "nowhere",
    "open_output",
    "title_of",
]

MUXERS = {
    "mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm", "ts": "mpegts",
    "avi": "avi", "nut": "nut",
}  # fmt: skip
"""FFmpeg's name of the muxer by the ending of a file's name."""
MATROSKA, MOV = {"matroska", "webm"}, {"mp4", "mov"}
"""Muxers of each family."""
REFUSALS = (av.FFmpegError, ValueError, OverflowError, UnicodeError)
"""Exceptions of PyAV when a container does not take a stream, a packet or a tag."""


@cache
def nowhere() -> BinaryIO:
    """A file that forgets what it is given.

    Not an object of Python code: PyAV would call it and drop what a signal handler raises there.
    """
    return Path(os.devnull).open("wb", buffering=0)


def open_output(place: object, format: str, options: dict[str, str]) -> OutputContainer:
    """An output container of FFmpeg's ``format`` in the binary file object ``place``."""
    return av.open(
        place, "w", format=format, container_options=options, metadata_errors="surrogateescape"
    )


def muxer_options(format: str, time_base: Fraction, tracks: Sequence[Track]) -> dict[str, str]:
    """Options with which a muxer keeps time stamps as they are.

    Args:
        format: FFmpeg's name of the muxer.
        time_base: of the video.
        tracks: the other tracks.
    """
    if format in MATROSKA:
        return {"default_mode": "passthrough", "strict": "-2", "avoid_negative_ts": "disabled"}
    if format not in MOV:
        return {"strict": "-2"}
    # Edit lists count in the movie's time scale: one that fits every track keeps starts exact.
    scale = time_base.denominator
    movie = math.lcm(scale, *(t.sample_rate for t in tracks if t.sample_rate))
    movie = movie if movie < 1 << 31 else scale
    return {
        "video_track_timescale": str(scale),
        "movie_timescale": str(movie),
        "strict": "-2",
    }


def title_of(format: str) -> str:
    """The ending of names by which users know a muxer: ``mkv`` for ``matroska``."""
    return {"matroska": "mkv", "mpegts": "ts"}.get(format, format)
