"""The command line. Heavy modules are imported by the commands that need them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from roicodec import __version__
from roicodec.cli.decode import decode
from roicodec.cli.doctor import doctor
from roicodec.cli.encode import encode
from roicodec.cli.info import info
from roicodec.errors import RoicodecError
from roicodec.evaluate.command import eval_command

__all__ = ["main"]

_WHILE = 0.05
"""Seconds until a signal that came during an import is looked at again."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Neural video codec that spends bits and arithmetic where people look.

    \b
    roicodec encode talk.mp4 talk.rq      video to stream, audio and all
    roicodec info talk.rq                 what is in it, byte by byte
    roicodec decode talk.rq back.mp4      and back

    COMMAND --help tells each command's options.
    """


for command in (encode, decode, info, eval_command, doctor):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 done, 1 error, 2 wrong usage, 130 interrupted, 143 terminated.

    An error is one line on standard error.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and '&' leave them
            signal.signal(number, _stop)
    try:
        status = cli.main(args=arguments, prog_name="roicodec", standalone_mode=False) or 0
        sys.stdout.flush()
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "roicodec"
        _complain(f"{error.format_message()} (see '{path} --help')")
        status = error.exit_code
    except click.ClickException as error:
        _complain(error.format_message())
        status = error.exit_code
    except RoicodecError as error:
        _complain(str(error))
        status = 1
    except _Stopped as stopped:
        _complain("interrupted; no output was written")
        status = 128 + stopped.number
    except BrokenPipeError:
        # Whoever read our output has gone (click exits with 1, too, when it is the first to
        # see that); the interpreter must not trip over it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except MemoryError:
        _complain("out of memory; encode a smaller picture, or close other programs")
        status = 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}")
        status = 1
    sys.exit(status)


def _complain(message: str) -> None:
    print(f"roicodec: error: {message}", file=sys.stderr)


class _Stopped(BaseException):
    """A signal ends the program.

    Not KeyboardInterrupt: where that passes through an ``exec`` of text (as when a module is
    imported that makes data classes), Python ends by the signal, whatever status is asked for.
    """

    def __init__(self, number: int) -> None:
        self.number = number


def _stop(number: int, frame: FrameType | None) -> None:
    """End by a signal; a module that is being imported is waited for: torch's extension aborts the
    process when an exception passes through it."""
    if _importing(frame):
        again = threading.Timer(_WHILE, signal.pthread_kill, (threading.get_ident(), number))
        again.daemon = True
        again.start()
    else:
        raise _Stopped(number)


def _importing(frame: FrameType | None) -> bool:
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None
