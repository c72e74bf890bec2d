"""Signals that end the program: one line, the right exit status, no half output, at any moment.

Imports little, since nothing else is imported before signals are handled.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import NoReturn, Self

__all__ = ["Interrupts", "Stopped", "leave"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE = 2.0
"""Seconds from a signal until the process ends, wherever it hangs."""


class Stopped(BaseException):
    """A signal ends the program.

    Not KeyboardInterrupt: where that passes through an ``exec`` of text (as when a module is
    imported that makes data classes), Python ends by the signal, whatever status is asked for.

    Attributes:
        status: exit status of the program.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class Interrupts:
    """Context in which signals raise :class:`Stopped` in the main thread.

    Signals that are ignored stay so. The process ends at once, its hidden files removed, on the
    second signal, on one that comes during an import (torch's extension aborts when an exception
    passes through it), and when the main thread has not ended two seconds after the first, as when
    it waits inside FFmpeg. After the context, signals do nothing: the process is about to end.
    """

    def __init__(self) -> None:
        self._stopping: Stopped | None = None
        self._ended = False

    def __enter__(self) -> Self:
        source, sink = os.pipe()
        os.set_blocking(sink, False)
        signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(source,), daemon=True).start()
        for number in _NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and '&' leave them
                signal.signal(number, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """End of the handling of signals, which are ignored from now on."""
        self._ended = True
        for number in _NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _nothing)  # which, unlike SIG_IGN, no child inherits
        sink = signal.set_wakeup_fd(-1)
        if sink >= 0:
            os.close(sink)  # which ends the watching thread

    def check(self) -> None:
        """Check whether the command has been stopped.

        Raises:
            Stopped: again, if it was raised where a library has put another error in its place.
        """
        if self._stopping:
            raise self._stopping

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._stopping or _importing(frame):
            leave(128 + number)
        self._stopping = Stopped(number)
        raise self._stopping

    def _watch(self, source: int) -> None:
        """Watch of the signals, which arrive even while the main thread hangs."""
        while numbers := os.read(source, 1):
            if numbers[0] in _NUMBERS:
                again, _, _ = select.select([source], [], [], _GRACE)
                if not self._ended and (not again or os.read(source, 1)):
                    leave(128 + numbers[0])
        os.close(source)


def leave(status: int) -> NoReturn:
    """End the process at once: its hidden files are removed, and one line says what was written.

    The interpreter is not wound up, since a thread that still waits inside FFmpeg would use what
    the main thread takes down.
    """
    try:
        from roicodec.cli.console import complain

        output = sys.modules.get("roicodec.output")
        if output:
            output.discard_unfinished()
        finished = output.finished() if output else []
        kept = output.kept_parts() if output else []
        lines = [f"; {count} finished segments stay in {folder}" for folder, count in kept]
        complain(f"interrupted; {', '.join(finished) or 'no output'} was written{''.join(lines)}")
    finally:
        os._exit(status)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def _importing(frame: FrameType | None) -> bool:
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None
