"""The command line in the test's process, with the stand-in for the networks."""

from __future__ import annotations

from collections.abc import Callable

from tests.fake_codec import FakeDecoder

__all__ = ["Outcome", "Run"]


class Outcome:
    """What a command came to.

    Attributes:
        status: exit status.
        out, err: what it printed.
        decoder: the last that it made; None if it made none.
    """

    def __init__(self, status: int, out: str, err: str, decoder: FakeDecoder | None = None) -> None:
        self.status, self.out, self.err, self.decoder = status, out, err, decoder

    @property
    def error(self) -> str:
        """The one line of error that there must be, last on standard error."""
        *_, last = self.err.splitlines()
        assert self.err.count("roicodec: error: ") == 1
        assert "Traceback" not in self.err
        return last.removeprefix("roicodec: error: ")


Run = Callable[..., Outcome]
