"""Time stamps of pictures as a muxer takes them: increasing, without leaps."""

from __future__ import annotations

from fractions import Fraction

from roicodec.media.info import ASSUMED_RATE
from roicodec.media.tracks import Problems

__all__ = ["PictureClock"]

_MAX_TICKS = 1 << 29
"""Longest time on show in MP4, in units of the track's time base: times of decoding, which lag
behind those of showing by a few pictures, are stated by their 31-bit distance."""
_MAX_GAP = 10**6
"""Seconds on show, more than eleven days, that are taken for damage."""
_MAX_START = 1 << 32


class PictureClock:
    """Corrects the time stamps and durations of one picture after the other.

    Args:
        time_base: seconds per unit.
        rate: frames per second; None when unknown.
        format: FFmpeg's name of the muxer.
        problems: takes a line for each picture whose time is corrected.
    """

    def __init__(
        self, time_base: Fraction, rate: Fraction | None, format: str, problems: Problems
    ) -> None:
        self._time_base, self._problems = time_base, problems
        longest = int(_MAX_GAP / time_base)
        self._longest = longest if format == "matroska" else min(longest, _MAX_TICKS)
        steps = (int(1 / (rate * time_base)) for rate in (rate, ASSUMED_RATE) if rate)
        self._step = next((step for step in steps if 0 < step <= self._longest), 1)
        self._last: int | None = None
        self._number = 0

    def __call__(self, pts: int, duration: int) -> tuple[int, int]:
        """Time stamp and duration of the next picture; the duration is 0 when unknown."""
        if self._last is None:
            wrong = abs(pts) * self._time_base > _MAX_START
            due = 0
        else:
            wrong = not self._last < pts <= self._last + self._longest
            due = self._last + self._step
        if wrong:
            self._problems.add(f"picture {self._number}: time stamp {pts} cannot be; {due} taken")
            pts = due
        if duration > self._longest:
            self._problems.add(f"picture {self._number}: duration {duration} cannot be; left out")
            duration = 0
        self._last = pts
        self._number += 1
        return pts, duration or self._step
