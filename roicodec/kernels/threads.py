"""Bands of rows, worked on side by side by the threads that a process may use.

Native kernels release the interpreter's lock, so plain threads are enough. They sleep until there
is work, and the caller works, too: a thread that the system does not run costs nothing, since the
others take its bands.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import count
from queue import SimpleQueue

__all__ = ["in_bands", "set_threads", "threads"]

_PER_THREAD = 3
"""Bands for each thread, so that none waits long for another."""

_ALIGN = 16
"""Bands begin at multiples of this many rows, the tile of the matrix kernels."""


class _Job:
    """Bands of one call, taken by whoever comes first."""

    def __init__(self, work: Callable[[int, int], None], bands: list[tuple[int, int]]) -> None:
        self._work, self._bands = work, bands
        self._next = count()
        self._state = threading.Condition()
        self._busy = 0
        self._error: BaseException | None = None

    def help(self) -> None:
        """Work on bands until none is left."""
        with self._state:
            self._busy += 1
        try:
            while (number := next(self._next)) < len(self._bands):
                self._work(*self._bands[number])
        except BaseException as error:
            self._error = error
        finally:
            with self._state:
                self._busy -= 1
                self._state.notify_all()

    def finish(self) -> None:
        """Work, then wait for the bands that others have taken.

        Raises:
            BaseException: what a band raised.
        """
        self.help()
        with self._state:
            self._state.wait_for(lambda: not self._busy)
        if self._error is not None:
            raise self._error


class _Pool:
    """Threads that help with jobs."""

    def __init__(self) -> None:
        self.size = len(os.sched_getaffinity(0))
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._helpers = 0
        self._lock = threading.Lock()

    def run(self, job: _Job) -> None:
        with self._lock:
            while self._helpers < self.size - 1:
                name = f"roicodec-{self._helpers}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
                self._helpers += 1
        for _ in range(self.size - 1):
            self._jobs.put(job)
        job.finish()

    def _serve(self) -> None:
        while True:
            self._jobs.get().help()


_pool = _Pool()


def _after_fork() -> None:
    """A child process has none of its parent's threads."""
    global _pool
    size, _pool = _pool.size, _Pool()
    _pool.size = size


os.register_at_fork(after_in_child=_after_fork)


def threads() -> int:
    """Number of threads that work on a call; by default the cores that the process may use."""
    return _pool.size


def set_threads(number: int) -> None:
    """Setting of the number of threads that work on a call; 1 is the caller's alone.

    Args:
        number: 1 or more.
    """
    _pool.size = max(number, 1)


def in_bands(rows: int, work: Callable[[int, int], None], *, least: int) -> None:
    """Calls of ``work(begin, end)``, in parallel, for bands that cover ``0 <= row < rows``.

    Args:
        rows: how many.
        work: must not depend on other bands.
        least: rows of a band, below which more threads do not pay.

    Raises:
        Exception: what a band raises.
    """
    bands = min(_pool.size * _PER_THREAD, rows // max(least, 1))
    if _pool.size == 1 or bands < 2:
        work(0, rows)
        return
    edges = [rows * band // bands // _ALIGN * _ALIGN for band in range(bands)]
    _pool.run(_Job(work, list(zip(edges, [*edges[1:], rows], strict=True))))
