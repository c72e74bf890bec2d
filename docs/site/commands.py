"""The commands of ``roicodec`` with all that their ``--help`` tells, in parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from inspect import cleandoc

import click

from roicodec.cli.commands import all_commands, cli

__all__ = ["Command", "Option", "Paragraph", "documented_commands"]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of help.

    Attributes:
        text: without marks; lines as they are written.
        literal: whether the lines must stay as they are.
    """

    text: str
    literal: bool


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        names: its forms, as ``-q`` and ``--quality``, the short one first.
        value: name of its value, empty for a switch.
        help: text, with default and range.
    """

    names: tuple[str, ...]
    value: str
    help: str


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: what is typed, as ``roicodec encode``.
        usage: arguments, as ``[OPTIONS] IN OUT.rq``.
        short: one sentence.
        text: description.
        options: in the order of ``--help``.
        examples: what comes after the options.
    """

    name: str
    usage: str
    short: str
    text: tuple[Paragraph, ...]
    options: tuple[Option, ...]
    examples: tuple[Paragraph, ...]


def documented_commands() -> list[Command]:
    """``roicodec`` itself, then its commands by name."""
    found = [("roicodec", cli), *((f"roicodec {n}", c) for n, c in all_commands().items())]
    return [_command(name, command) for name, command in found]


def _command(name: str, command: click.Command) -> Command:
    context = click.Context(command, info_name=name, help_option_names=["-h", "--help"])
    text = tuple(_paragraphs(command.help or ""))
    return Command(
        name=name,
        usage=" ".join(command.collect_usage_pieces(context)),
        short=command.get_short_help_str(limit=200),
        text=text,
        options=tuple(
            _option(parameter, context)
            for parameter in command.get_params(context)
            if isinstance(parameter, click.Option) and not parameter.hidden
        ),
        examples=tuple(_paragraphs(command.epilog or "")),
    )


def _option(option: click.Option, context: click.Context) -> Option:
    record = option.get_help_record(context)
    assert record is not None, f"{option.name}: every option has help"
    forms, text = record
    names = (*option.opts, *option.secondary_opts)
    value = forms
    for name in names:
        value = value.replace(name, "", 1)
    return Option(tuple(sorted(names, key=len)), value.strip(" ,/"), " ".join(text.split()))


def _paragraphs(text: str) -> Iterator[Paragraph]:
    """Paragraphs of a help text; those that begin with click's mark ``\\b`` are literal."""
    for block in cleandoc(text).split("\n\n"):
        lines = block.strip("\n").splitlines()
        literal = bool(lines) and lines[0].strip() == "\b"
        content = "\n".join(lines[1:] if literal else lines)
        if content.strip():
            yield Paragraph(content, literal)
