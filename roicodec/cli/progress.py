"""Progress on standard error: a line that is renewed on a terminal, one now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Self

from roicodec.cli.console import say, warn
from roicodec.transcode import Listener

__all__ = ["ProgressListener", "progress_line", "rate_text"]

_LINE_EVERY = 5.0
"""Seconds between lines that stay."""
_RENEW_EVERY = 0.1
"""Seconds between renewals on a terminal."""
_BAR = 30, 8
"""Most and fewest columns of the bar."""
_CLEAR = "\r\x1b[K"


def rate_text(frames: int, seconds: float) -> str:
    """Speed in frames per second, below one in seconds per frame."""
    rate = frames / max(seconds, 1e-9)
    if rate >= 1 or not frames:
        return f"{rate:.1f} fps"
    return f"{1 / rate:.1f} s/frame"


def progress_line(verb: str, done: int, total: int | None, seconds: float, width: int) -> str:
    """Progress in one line.

    Args:
        verb: what is being done.
        done, total: frames; None, or less than are done, for an unknown total.
        seconds: since the start.
        width: columns to fill with a bar as far as there is room; 0 for none. Words go first where
            a terminal is narrow, numbers last.
    """
    speed = rate_text(done, seconds)
    if not total or done > total:
        texts = [f"{verb}: {done} frames, {speed}", f"{done} frames {speed}", f"{done}, {speed}"]
        return _first_fitting(texts, width)
    left = _duration(round((total - done) * seconds / max(done, 1)))
    share = done / total
    if width:
        numbers = f"{done}/{total}  {speed}  {left} left"
        columns = min(_BAR[0], width - len(f"{verb}    {numbers}"))
        if columns >= _BAR[1]:
            full = int(columns * share)
            return f"{verb} [{'=' * full}{' ' * (columns - full)}] {numbers}"
    texts = [
        f"{verb}: {done}/{total} frames, {speed}, {left} left",
        f"{verb} {done}/{total} {speed} {left} left",
        f"{done}/{total} {speed} {left} left",
        f"{done}/{total} {speed} {left}",
        f"{done}/{total} {speed}",
    ]
    return _first_fitting(texts, width)


class ProgressListener(Listener):
    """Listener that shows frames done, speed and time left, and collects and prints warnings.

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

    def frame(self, done: int) -> None:
        now = time.monotonic()
        if self._quiet or now - self._last < self._every:
            return
        self._last = now
        seconds = now - self._begin
        if self._renews:
            self._show(progress_line(self._verb, done, self._total, seconds, _columns()))
        else:
            say(progress_line(self._verb, done, self._total, seconds, 0), sys.stderr)
            sys.stderr.flush()

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        if not self._quiet:
            shown = self._shown
            self._show("")
            warn(message)
            self._show(shown)

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
