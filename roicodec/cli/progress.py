"""Progress on standard error: a bar on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from roicodec.transcode import Listener

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["ProgressListener"]

_LINE_EVERY = 5.0
"""Seconds between plain lines."""


class ProgressListener(Listener):
    """Shows frames done, frames a second and the time left; collects and prints warnings.

    Args:
        verb: what is being done.
        quiet: show nothing.

    Attributes:
        warnings: all of them.
    """

    def __init__(self, verb: str, *, quiet: bool) -> None:
        self.warnings: list[str] = []
        self._verb = verb
        self._quiet = quiet
        self._total: int | None = None
        self._bar: Progress | None = None
        self._begin = self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, total: int | None) -> None:
        self._total = total
        self._begin = self._last = time.monotonic()
        if not self._quiet and sys.stderr.isatty():
            self._bar = _make_bar()
            self._bar.start()
            self._bar.add_task(self._verb, total=total, rate="")

    def frame(self, done: int) -> None:
        if self._quiet:
            return
        now = time.monotonic()
        rate = done / max(now - self._begin, 1e-9)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, rate=f"{rate:.1f} fps")
        elif now - self._last >= _LINE_EVERY:
            self._last = now
            self._say(f"{self._verb}: {self._plain(done, rate)}")

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        if not self._quiet:
            self._say(f"roicodec: warning: {message}")

    def _plain(self, done: int, rate: float) -> str:
        if not self._total or done > self._total:
            return f"{done} frames, {rate:.1f} fps"
        left = round((self._total - done) / rate)
        return f"{done}/{self._total} frames, {rate:.1f} fps, {left // 60}:{left % 60:02d} left"

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)


def _make_bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
