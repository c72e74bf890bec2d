"""Reordering of frames from coding order to presentation order."""

from __future__ import annotations

from typing import Generic, TypeVar

from roicodec.errors import StreamError

__all__ = ["PresentationOrder"]

T = TypeVar("T")


class PresentationOrder(Generic[T]):
    """Frames that wait until those shown before them have come, or cannot come any more."""

    def __init__(self) -> None:
        self._waiting: dict[int, T] = {}
        self._due = 0

    def reach(self, number: int) -> None:
        """Notice that nothing shown before frame ``number`` comes any more."""
        self._due = max(self._due, number)

    def check(self, number: int) -> None:
        """Check of the number of a frame that has come, before :meth:`reach` and :meth:`add`.

        Raises:
            StreamError: if another frame has it, or frames behind it have been shown.
        """
        if number in self._waiting or number < self._due:
            raise StreamError(f"it would be shown as number {number}, which has had its turn")

    def add(self, number: int, frame: T) -> list[T]:
        """Frames that can be shown once frame ``number`` has come, in order."""
        self._waiting[number] = frame
        ready = []
        for shown in sorted(self._waiting):
            if shown > self._due:
                break
            ready.append(self._waiting.pop(shown))
            self._due = max(self._due, shown + 1)
        return ready

    def rest(self) -> list[T]:
        """All that still wait, in order."""
        ready = [self._waiting.pop(number) for number in sorted(self._waiting)]
        self._due = 0
        return ready
