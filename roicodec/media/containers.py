"""FFmpeg's containers for output: names, options, and one that forgets what it is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import av
from av.container import OutputContainer

from roicodec.media.tracks import Track

__all__ = ["MUXERS", "REFUSALS", "Nowhere", "muxer_options", "open_output", "title_of"]

MUXERS = {"mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "matroska"}
"""FFmpeg's name of the muxer by the ending of a file's name."""
REFUSALS = (av.FFmpegError, ValueError, OverflowError, UnicodeError)
"""What PyAV raises when a container does not take a stream, a packet or a tag."""


class Nowhere:
    """A file object that forgets what it is given."""

    def __init__(self) -> None:
        self._at = self._end = 0

    def write(self, data: bytes) -> int:
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


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
    if format == "matroska":
        return {"default_mode": "passthrough", "strict": "-2", "avoid_negative_ts": "disabled"}
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
    return "mkv" if format == "matroska" else format
