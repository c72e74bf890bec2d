"""The commands, and what becomes of their errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from roicodec.cli.console import complain, forget_output
from roicodec.cli.interrupts import Interrupts
from roicodec.errors import RoicodecError
from roicodec.factory import CodecFactory, NetworkFactory

__all__ = ["all_commands", "cli", "run"]

_HOMES = {
    "encode": ("cli.encode", "encode"),
    "decode": ("cli.decode", "decode"),
    "play": ("cli.play", "play"),
    "info": ("cli.info", "info"),
    "roi": ("cli.roi", "roi_command"),
    "eval": ("evaluate.command", "eval_command"),
    "doctor": ("cli.doctor", "doctor"),
    "thumbnail": ("cli.thumbnail", "thumbnail"),
}
"""Modules of the commands and their names there: a command is imported when it is used."""

_HIDDEN = {"worker": ("cli.worker", "worker")}
"""Commands that are not for people."""

_TRACEBACK = "ROICODEC_TRACEBACK"
"""Environment variable for developers: 1 shows the traceback of an unforeseen error."""
_NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "failed to map segment",
    "can't start new thread",
    "bad_alloc",
)
"""Texts of errors other than MemoryError when memory is short."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        home = {**_HOMES, **_HIDDEN}.get(cmd_name)
        if home is None:
            return None
        module, name = home
        command: click.Command = getattr(import_module(f"roicodec.{module}"), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda *given: import_module("roicodec.cli.version").show_version(*given),
    help="Show the versions of program and stream format, the model, and the kernels in use.",
)
def cli() -> None:
    """Neural video codec that spends bits and arithmetic where people look.

    \b
    roicodec encode talk.mp4 talk.rq      video to stream, audio and all
    roicodec info talk.rq                 what is in it, byte by byte
    roicodec decode talk.rq back.mp4      and back

    COMMAND --help tells each command's options.
    """


def all_commands() -> dict[str, click.Command]:
    """The commands by name."""
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def run(
    arguments: Sequence[str] | None, interrupts: Interrupts, factory: CodecFactory | None = None
) -> int:
    """One run of a command; an error is printed in one line.

    Args:
        arguments: of the command line; None for those of the process.
        interrupts: is asked whether an error is a signal's.
        factory: makes encoders and decoders; None for the installed networks.

    Returns:
        The exit status: 0 done, 1 error, 2 wrong usage.

    Raises:
        Stopped: if a signal came.
    """
    try:
        status = _invoke(arguments, factory or NetworkFactory())
    except BrokenPipeError:  # whoever read the output has gone
        forget_output()
        return 1
    except Exception as error:
        interrupts.check()
        complain(_message(error))
        status = error.exit_code if isinstance(error, click.ClickException) else 1
        if os.environ.get(_TRACEBACK) == "1":
            import traceback

            traceback.print_exception(error)
    except SystemExit as end:  # click's, for a broken pipe
        return int(end.code or 0)
    try:
        sys.stdout.flush()
    except OSError as error:
        forget_output()
        if isinstance(error, BrokenPipeError):
            return 1
        if not status:
            complain(f"standard output: {error.strerror}")
        return status or 1
    return status


def _invoke(arguments: Sequence[str] | None, factory: CodecFactory) -> int:
    status = cli.main(args=arguments, prog_name="roicodec", standalone_mode=False, obj=factory)
    return status if isinstance(status, int) else 0


def _option_of(error: RoicodecError) -> str | None:
    """The option that would change an error, as ``--frames``; None where there is none."""
    if error.parameter is None:
        return None
    options = (
        parameter
        for command in all_commands().values()
        for parameter in command.params
        if isinstance(parameter, click.Option)
    )
    return next((o.opts[-1] for o in options if o.name == error.parameter), None)


def _message(error: Exception) -> str:
    """Message of an error in one line."""
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "roicodec"
        return f"{error.format_message()} (see '{path} --help')"
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, RoicodecError):
        option = _option_of(error)
        return str(error) if option is None else f"{error} ({option})"
    if isinstance(error, MemoryError) or any(text in str(error).lower() for text in _NO_MEMORY):
        return "out of memory; encode a smaller picture, or close other programs"
    if isinstance(error, OSError):
        return f"{error.filename or 'standard output'}: {error.strerror or error}"
    trace, where = error.__traceback__, ""
    while trace:
        code = trace.tb_frame.f_code
        where = f" ({Path(code.co_filename).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return (
        f"unforeseen {type(error).__name__}: {error}{where}; please report it with the output of"
        f" {_TRACEBACK}=1"
    )
