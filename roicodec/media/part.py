"""The part of a video that is asked for: pictures by number, by time, or by both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from roicodec.errors import InputError

__all__ = ["WHOLE", "Part", "Time", "seconds_of"]

Time = float | Fraction | str
"""Seconds; or a text, ``90``, ``1:30`` or ``1:02:03.5``."""

_TEXT = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})", re.ASCII)
_ROUNDING = Fraction(1, 10**9)
"""Seconds by which a time as a float is taken earlier: it may lie just above what it stands for."""


def seconds_of(time: Time, parameter: str | None = None) -> Fraction:
    """A time as an exact number of seconds.

    Args:
        time: seconds, or a text.
        parameter: name of the argument that it is, for the error.

    Raises:
        InputError: if it is no time, or below 0.
    """
    if isinstance(time, str):
        if (found := _TEXT.fullmatch(time.strip())) is None:
            raise InputError(
                f"{time!r}: give seconds, or h:m:s, as in 90, 1:30 or 1:02:03.5",
                parameter=parameter,
            )
        hours, minutes = (int(found[k] or 0) for k in (1, 2))
        return 3600 * hours + 60 * minutes + Fraction(found[3].rstrip("."))
    if not 0 <= time < 1e9:
        raise InputError(f"time {time}: give seconds from 0 on", parameter=parameter)
    exact = Fraction(time)
    return max(exact - _ROUNDING, Fraction(0)) if isinstance(time, float) else exact


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a video.

    Attributes:
        first, stop: numbers of the pictures from 0, from ``first`` up to, not including, ``stop``;
            None for all.
        start, end: seconds of the video's clock, at which pictures begin to be shown: at ``start``
            or later, and before ``end``; None for no limit.
    """

    first: int = 0
    stop: int | None = None
    start: Fraction | None = None
    end: Fraction | None = None

    @classmethod
    def of(
        cls,
        frames: slice | None = None,
        start: Time | None = None,
        duration: Time | None = None,
        end: Time | None = None,
    ) -> Self:
        """The part between some limits; None for none.

        Args:
            frames: numbers of the pictures, without a step.
            start: seconds from which on.
            duration: seconds from ``start``, or from 0.
            end: seconds up to which, instead of a duration.

        Raises:
            InputError: if there can be nothing between them.
        """
        first, stop = (frames.start or 0, frames.stop) if frames else (0, None)
        step = frames.step if frames else None
        if step not in (None, 1) or first < 0 or (stop is not None and stop <= first):
            raise InputError(f"frames {first}:{stop}: give a:b with 0 <= a < b", parameter="frames")
        if duration is not None and end is not None:
            raise InputError("duration and end: give one of them", parameter="end")
        begin = None if start is None else seconds_of(start, "start")
        until = None if end is None else seconds_of(end, "end")
        if duration is not None:
            until = (begin or 0) + seconds_of(duration, "duration")
        if until is not None and until <= (begin or 0):
            name = "end" if duration is None else "duration"
            raise InputError(
                f"nothing lies between {float(begin or 0):g} s and {float(until):g} s",
                parameter=name,
            )
        return cls(first, stop, begin, until)

    def precedes(self, number: int, time: Fraction) -> bool:
        """Whether a picture comes before the part.

        Args:
            number: of the picture.
            time: at which it begins to be shown, in seconds.
        """
        return number < self.first or (self.start is not None and time < self.start)

    def is_behind(self, number: int, time: Fraction) -> bool:
        """Whether a picture comes after the part; arguments as of :meth:`precedes`."""
        return (self.stop is not None and number >= self.stop) or (
            self.end is not None and time >= self.end
        )

    def count(self, total: int | None, rate: Fraction | None) -> int | None:
        """Number of pictures in the part, about; None when unknown.

        Args:
            total: pictures of the whole video; None when unknown.
            rate: frames per second; None when unknown.
        """
        first, stop = self.first, self.stop
        if self.start is not None or self.end is not None:
            if not rate:
                return None
            first = max(first, round((self.start or 0) * rate))
            until = stop if self.end is None else round(self.end * rate)
            stop = until if stop is None or until is None else min(stop, until)
        if total is None:
            return None if stop is None or self.end is None else max(stop - first, 0)
        return len(range(total)[first:stop])

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return f"frames {self.first}:{'' if self.stop is None else self.stop}"
        until = "the end" if self.end is None else f"{float(self.end):g} s"
        return f"{float(self.start or 0):g} s to {until}"


WHOLE = Part()
