"""The command line."""

from __future__ import annotations

TYPE_CHECKING = False  # without typing, whose import would delay the handling of signals
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from roicodec.factory import CodecFactory

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, factory: CodecFactory | None = None) -> NoReturn:
    """One run of a command, which ends the process.

    Its exit status is 0 done, 1 error, 2 wrong usage, 130 interrupted, 143 terminated. An error is
    one line on standard error. Signals are handled before anything else is imported.

    Args:
        arguments: of the command line; None for those of the process.
        factory: makes encoders and decoders; None for the installed networks.
    """
    try:
        from roicodec.cli.console import prepare_streams

        prepare_streams()
        from roicodec.cli.interrupts import Interrupts, Stopped, leave

        interrupts = Interrupts()
        try:
            with interrupts:
                from roicodec.cli.commands import run

                status = run(arguments, interrupts, factory)
        except Stopped as stopped:
            interrupts.end()
            leave(stopped.status)
    except KeyboardInterrupt:  # before the handlers are there
        status = 130
    raise SystemExit(status)
