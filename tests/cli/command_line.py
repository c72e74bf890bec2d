"""The command line in the test's process, with the stand-in for the networks."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Outcome", "Run"]


class Outcome:
    """What a command came to.

    Attributes:
        status: exit status.
        out, err: what it printed.
    """

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def error(self) -> str:
        """The one line of error that there must be, last on standard error."""
        *_, last = self.err.splitlines()
        assert self.err.count("roicodec: error: ") == 1
        assert "Traceback" not in self.err
        return last.removeprefix("roicodec: error: ")


Run = Callable[..., Outcome]
