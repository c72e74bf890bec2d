"""Standard streams that take any text, and the lines that are printed on them."""

from __future__ import annotations

import errno
import io
import os
import sys

from roicodec.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["complain", "forget_output", "prepare_streams", "report", "say", "warn"]


def prepare_streams() -> None:
    """Usable standard input, output and error, whatever the process was started with.

    One that is closed is replaced: input by one that is empty, output by one that cannot be
    written, error by one that forgets. (Else the next file that is opened would take its number,
    and what libraries print would go into that file.) Characters that the encoding of one lacks are
    printed as escapes.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, which is this one. What is opened for reading cannot be
            # written, so that lost output is an error.
            os.open(os.devnull, os.O_RDWR if number == 2 else os.O_RDONLY)
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
        stream = getattr(sys, name)
        if number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str, file: TextIO | None = None) -> None:
    """One line of output, by default on standard output.

    Raises:
        OSError: if it cannot be written.
    """
    print(printable(line), file=file or sys.stdout)


def report(line: str, file: TextIO | None = None) -> None:
    """One line of output that nobody has to read: a closed standard output is no error."""
    try:
        say(line, file)
        (file or sys.stdout).flush()
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        forget_output()


def complain(message: str) -> None:
    """One line on standard error for an error, if that can be written at all."""
    try:
        say(f"roicodec: error: {message}", sys.stderr)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def warn(message: str) -> None:
    """One line on standard error for a warning."""
    say(f"roicodec: warning: {message}", sys.stderr)


def forget_output() -> None:
    """Standard output sent to nowhere, so that the interpreter does not fail on it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
