"""Manual pages of the commands, in the man(7) language, from their ``--help``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from docs.site.commands import Command, Paragraph, documented_commands
from roicodec import __version__

__all__ = ["man_page", "write_man_pages"]

_STATUS = (
    ("0", "Done."),
    ("1", "An error, told in one line; or a damaged stream, of which all that is sound was used."),
    ("2", "Wrong usage."),
    ("130, 143", "Ended by SIGINT, by SIGTERM; no half file is left."),
)
_ENVIRONMENT = (
    ("ROICODEC_THREADS", "Default of --threads."),
    ("ROICODEC_BACKEND", "Default of --backend."),
    ("ROICODEC_NATIVE", "Instructions that the native kernels may use; off for none."),
    ("ROICODEC_WEIGHTS", "Folder of other networks."),
    ("ROICODEC_TRACEBACK", "1 shows where an unforeseen error happened."),
)


def write_man_pages(folder: Path) -> list[Path]:
    """A page for ``roicodec`` and one for each command; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    commands = documented_commands()
    written = []
    for command in commands:
        path = folder / f"{_page_name(command)}.1"
        path.write_text(man_page(command, commands), "utf-8")
        written.append(path)
    return written


def man_page(command: Command, commands: list[Command]) -> str:
    """The page of a command.

    Args:
        command: the one.
        commands: all of them, the first being ``roicodec`` itself.
    """
    name = _page_name(command)
    lines = [f'.TH {name.upper()} 1 "" "roicodec {__version__}" "User Commands"']
    lines += [".SH NAME", f"{_text(name)} \\- {_text(command.short.rstrip('.'))}"]
    lines += [".SH SYNOPSIS", f"\\fB{_text(command.name)}\\fR {_text(command.usage)}"]
    lines += [".SH DESCRIPTION", *_paragraphs(command.text)]
    top = command is commands[0]
    if top:
        lines += [".SH COMMANDS", *_list((c.name, c.short) for c in commands[1:])]
    lines += [".SH OPTIONS"]
    for option in command.options:
        forms = ", ".join(f"\\fB{_text(form)}\\fR" for form in option.names)
        value = f" \\fI{_text(option.value)}\\fR" if option.value else ""
        lines += [".TP", forms + value, _text(option.help)]
    if command.examples:
        lines += [".SH EXAMPLES", *_paragraphs(command.examples)]
    lines += [".SH EXIT STATUS", *_list(_STATUS)]
    if top:
        lines += [".SH ENVIRONMENT", *_list(_ENVIRONMENT)]
    others = [_page_name(c) for c in commands if c is not command]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{_text(other)}\\fR(1)" for other in others)]
    return "\n".join(lines) + "\n"


def _page_name(command: Command) -> str:
    return command.name.replace(" ", "-")


def _list(entries: Iterable[tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    for name, text in entries:
        lines += [".TP", f"\\fB{_text(name)}\\fR", _text(text)]
    return lines


def _paragraphs(paragraphs: tuple[Paragraph, ...]) -> list[str]:
    lines: list[str] = []
    for paragraph in paragraphs:
        if paragraph.literal:
            kept = [_text(line) for line in paragraph.text.splitlines() if line != "Examples:"]
            lines += [".PP", ".nf", *kept, ".fi"]
        else:
            lines += [".PP", _text(" ".join(paragraph.text.split()))]
    return lines


def _text(text: str) -> str:
    """Text without what roff takes for requests and escapes."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
