"""A limit on the number of warnings, so that no input can flood whoever reads them."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["WarningLimit"]

_SHOWN = 10
"""Number of warnings that are passed on."""


class WarningLimit:
    """The first ten warnings about an input, then the number of the others.

    Args:
        warn: takes each line.

    Attributes:
        count: number of all warnings so far.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self.count = 0

    def __call__(self, message: str) -> None:
        """One more line: passed on, or counted."""
        self.count += 1
        if self.count <= _SHOWN:
            self._warn(message)

    def finish(self) -> None:
        """Line with the number of those not passed on; to be called once, at the end of input."""
        if self.count > _SHOWN:
            self._warn(f"{self.count - _SHOWN} more warnings like these are not shown")
