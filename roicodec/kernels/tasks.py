"""Calls that run on several threads once what they depend on is there.

Native kernels and most of numpy release the interpreter's lock, so plain threads compute side by
side. There is one pool for the process: it has a thread less than :func:`~.threads.threads` says,
since whoever waits for a task works on others meanwhile. With one thread, waiting does everything.
"""

from __future__ import annotations

import atexit
import heapq
import os
import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Generic, TypeVar

from roicodec.kernels.threads import occupied, threads

__all__ = ["Task"]

T = TypeVar("T")

_numbers = count()

_PATIENCE = 2.0
"""Seconds that the end of the process waits for tasks."""


class Task(Generic[T]):
    """A call that begins when its time has come, on any thread.

    Args:
        run: the call; gets what it needs from :attr:`value` of the tasks before it.
        after: tasks that must have ended, well or not, before it begins.
        rank: tasks of lower rank begin first.
    """

    def __init__(
        self,
        run: Callable[[], T],
        after: Sequence[Task[Any]] = (),
        rank: tuple[int, ...] = (),
    ) -> None:
        self._run: Callable[[], T] | None = run
        self._value: Any = None
        self._error: BaseException | None = None
        self._order = rank, next(_numbers)
        self._waiting: list[Task[Any]] = []
        self._missing = 0
        self.done = False
        _pool.add(self, after)

    def __lt__(self, other: Task[Any]) -> bool:
        return self._order < other._order

    @property
    def value(self) -> T:
        """What the call returned.

        Raises:
            BaseException: what it raised, or an error if it was cancelled.
        """
        if self._error is not None:
            raise self._error
        found: T = self._value
        return found

    def result(self) -> T:
        """What the call returns; other tasks are worked on until it has.

        Raises:
            BaseException: what it raises.
        """
        _pool.wait(self)
        return self.value

    def cancel(self) -> None:
        """End without a call, if it has not begun; what it would have used is let go."""
        _pool.cancel(self)

    def start(self) -> None:
        """Run the call here, if the task has not been cancelled since it was chosen."""
        run = _pool.claim(self)
        if run is None:
            return
        try:
            self._value = run()
        except Exception as error:
            self._error = error
        except BaseException as error:  # a signal's: for whoever runs this
            self._error = error
            raise
        finally:
            del run
            _pool.end(self)


class _Pool:
    """Tasks of the process, and the threads that begin them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ready: list[Task[Any]] = []
        self._workers = self._busy = 0

    def add(self, task: Task[Any], after: Sequence[Task[Any]]) -> None:
        with self._changed:
            for other in after:
                if not other.done:
                    other._waiting.append(task)
                    task._missing += 1
            if not task._missing:
                self._push(task)

    def claim(self, task: Task[T]) -> Callable[[], T] | None:
        """The call of a task, for whoever comes first: to run it or to cancel it."""
        with self._changed:
            run, task._run = task._run, None
            return run

    def end(self, task: Task[Any]) -> None:
        with self._changed:
            self._end(task)

    def cancel(self, task: Task[Any]) -> None:
        with self._changed:
            if task.done or task._run is None:
                return
            task._run = None
            task._error = RuntimeError("the task was cancelled")
            if task in self._ready:
                self._ready.remove(task)
                heapq.heapify(self._ready)
            self._end(task)

    def wait(self, task: Task[Any]) -> None:
        while other := self._next(task):
            try:
                with occupied():
                    other.start()
            except BaseException:  # a signal's; the task may not have begun
                with self._changed:
                    if other._run is not None:
                        self._push(other)
                raise

    def _next(self, task: Task[Any]) -> Task[Any] | None:
        """A task to work on while waiting for another; None once that has ended."""
        with self._changed:
            self._changed.wait_for(lambda: task.done or self._ready)
            return None if task.done else heapq.heappop(self._ready)

    def stop(self) -> None:
        """Begin nothing more, and wait for what the other threads are at."""
        with self._changed:
            self._ready.clear()
            self._changed.wait_for(lambda: not self._busy, _PATIENCE)

    def _push(self, task: Task[Any]) -> None:
        heapq.heappush(self._ready, task)
        while self._workers < threads() - 1:
            number = self._workers
            worker = threading.Thread(
                target=self._serve, args=(number,), name=f"roicodec-{number}", daemon=True
            )
            try:
                worker.start()
            except RuntimeError:  # the system has no more threads: fewer will do
                break
            self._workers += 1
        self._changed.notify_all()

    def _end(self, task: Task[Any]) -> None:
        task.done = True
        for other in task._waiting:
            other._missing -= 1
            if not other._missing and not other.done:
                self._push(other)
        task._waiting.clear()
        self._changed.notify_all()

    def _serve(self, number: int) -> None:
        while True:
            with self._changed:
                # Fewer threads may have been asked for since this one was started.
                while not self._ready or number >= threads() - 1:
                    self._changed.wait()
                task = heapq.heappop(self._ready)
                self._busy += 1
            try:
                with occupied():
                    task.start()
            finally:
                del task
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()


_pool = _Pool()


def _after_fork() -> None:
    """A child process has none of its parent's threads."""
    global _pool
    _pool = _Pool()


os.register_at_fork(after_in_child=_after_fork)
# A thread in native code must not find its arrays gone.
atexit.register(lambda: _pool.stop())
