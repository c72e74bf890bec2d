"""Progress on standard error: a line that is renewed on a terminal, one now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Self

from roicodec.cli.console import say, warn
from roicodec.transcode import Listener

__all__ = ["ProgressListener", "progress_line", "rate_text", "size_text"]

_LINE_EVERY = 5.0
"""Seconds between lines that stay."""
_RENEW_EVERY = 0.1
"""Seconds between renewals on a terminal."""
_BAR = 30, 8
"""Most and fewest columns of the bar."""
_CLEAR = "\r\x1b[K"
_EARLY = 8
"""Frames before which no size is expected: an intra frame is many times larger than the others."""
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def rate_text(frames: int, seconds: float) -> str:
    """Speed in frames per second, below one in seconds per frame."""
    rate = frames / max(seconds, 1e-9)
    if rate >= 1 or not frames:
        return f"{rate:.1f} fps"
    return f"{1 / rate:.1f} s/frame"


def size_text(size: int, done: int, total: int | None) -> str:
    """Bytes so far and those expected in the end, as ``1.2 of 3.4 MB``.

    Args:
        size: bytes so far; 0 gives an empty text.
        done, total: frames; the size expected is in proportion, and not shown before the eighth
            frame or without a total.
    """
    if not size:
        return ""
    expected = size * total / done if total and _EARLY <= done <= total else 0
    unit, name = next((u for u in _UNITS if max(size, expected) >= u[0]), (1, "bytes"))
    digits = 1 if unit > 1 else 0
    texts = [f"{value / unit:.{digits}f}" for value in (size, expected) if value]
    return f"{' of '.join(texts)} {name}"


def progress_line(
    verb: str, done: int, total: int | None, seconds: float, width: int, size: int = 0
) -> str:
    """Progress in one line.

    Args:
        verb: what is being done.
        done, total: frames; None, or less than are done, for an unknown total.
        seconds: since the start.
        width: columns to fill with a bar as far as there is room; 0 for none. Words go first where
            a terminal is narrow, numbers last.
        size: bytes written so far; 0 if they are not known.
    """
    speed = rate_text(done, seconds)
    volume = size_text(size, done, total)
    if not total or done > total:
        texts = [f"{verb}: {done} frames, {speed}, {volume}"] if volume else []
        texts += [f"{verb}: {done} frames, {speed}", f"{done} frames {speed}", f"{done}, {speed}"]
        return _first_fitting(texts, width)
    left = _duration(round((total - done) * seconds / max(done, 1)))
    share = done / total
    if width:
        for numbers in (f"{done}/{total}  {speed}  {volume}  {left} left",) * bool(volume) + (
            f"{done}/{total}  {speed}  {left} left",
        ):
            columns = min(_BAR[0], width - len(f"{verb}    {numbers}"))
            if columns >= _BAR[1]:
                full = int(columns * share)
                return f"{verb} [{'=' * full}{' ' * (columns - full)}] {numbers}"
    texts = [f"{verb}: {done}/{total} frames, {speed}, {volume}, {left} left"] if volume else []
    texts += [
        f"{verb}: {done}/{total} frames, {speed}, {left} left",
        f"{verb} {done}/{total} {speed} {left} left",
        f"{done}/{total} {speed} {left} left",
        f"{done}/{total} {speed} {left}",
        f"{done}/{total} {speed}",
    ]
    return _first_fitting(texts, width)


class ProgressListener(Listener):
    """Listener that shows frames done, speed, size and time left, and collects and prints warnings.

    Args:
        verb: what is being done.
        quiet: show nothing.
        line_every: seconds between the lines that are printed where standard error is no terminal.

    Attributes:
        warnings: all of them.
    """

    def __init__(self, verb: str, *, quiet: bool, line_every: float = _LINE_EVERY) -> None:
        self.warnings: list[str] = []
        self._verb, self._quiet = verb, quiet
        self._renews = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._every = _RENEW_EVERY if self._renews else line_every
        self._total: int | None = None
        self._size = 0
        self._shown = ""
        self._begin = self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show("")

    def start(self, total: int | None) -> None:
        self._total = total
        self._begin = self._last = time.monotonic()

    def size(self, size: int) -> None:
        self._size = size

    def frame(self, done: int) -> None:
        now = time.monotonic()
        if self._quiet or now - self._last < self._every:
            return
        self._last = now
        seconds = now - self._begin
        if self._renews:
            self._show(self._line(done, seconds, _columns()))
        else:
            say(self._line(done, seconds, 0), sys.stderr)
            sys.stderr.flush()

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        if not self._quiet:
            shown = self._shown
            self._show("")
            warn(message)
            self._show(shown)

    def _line(self, done: int, seconds: float, width: int) -> str:
        return progress_line(self._verb, done, self._total, seconds, width, self._size)

    def _show(self, line: str) -> None:
        if line != self._shown:
            self._shown = line
            sys.stderr.write(_CLEAR + line)
            sys.stderr.flush()


def _first_fitting(texts: list[str], width: int) -> str:
    """The first text that fits into ``width`` columns, the last if none does; 0 is endless."""
    return next((t for t in texts if not width or len(t) <= width), texts[-1][: width or None])


def _columns() -> int:
    """Columns that a line may fill on this terminal: all but the last."""
    try:
        return max(os.get_terminal_size(sys.stderr.fileno()).columns - 1, 1)
    except (OSError, ValueError):
        return 79


def _duration(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
