"""Sources of the site: pages of docs/ as they are, the others made from the program."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

import roicodec
from docs.site.commands import Command, Paragraph, documented_commands

__all__ = ["ROOT", "api_page", "command_page", "write_sources"]

ROOT = Path(__file__).parents[2]
_OUTSIDE = {"README.md": "readme", "CHANGELOG.md": "changelog", "CONTRIBUTING.md": "contributing"}
"""Pages of the repository's root and their names in the site."""
_COPIED = (".md", ".svg", ".jpg", ".png", ".webp", ".ipynb")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_API = {
    "Whole files": (
        "open",
        "encode",
        "encode_all",
        "decode",
        "info",
        "play",
        "write_report",
        "thumbnail",
    ),
    "Picture by picture": ("Encoder", "Decoder", "EncoderOptions"),
    "Pictures": ("Video", "DecodedPicture", "Picture", "picture_from_rgb"),
    "Reports": ("EncodeReport", "DecodeReport", "Listener"),
    "Threads": ("set_threads",),
    "Errors": ("RoicodecError", "InputError", "StreamError", "ModelError"),
}
"""Titles of the reference of the library, and what is under each; what is new comes last."""


def write_sources(folder: Path) -> None:
    """All pages and pictures of the site, for Sphinx.

    Args:
        folder: is replaced.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted((ROOT / "docs").rglob("*")):
        name = path.relative_to(ROOT / "docs").as_posix()
        if path.suffix in _COPIED and not name.startswith("site/"):
            _write(folder / name, _moved(path, name))
    for source, name in _OUTSIDE.items():
        _write(folder / f"{name}.md", _moved(ROOT / source, f"{name}.md"))
    commands = documented_commands()
    for command in commands:
        _write(folder / f"cli/{_file_name(command)}.rst", command_page(command).encode())
    _write(folder / "api.rst", api_page().encode())
    _write(folder / "index.md", _index(commands).encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


# --- pages of the repository -----------------------------------------------------------------


def _moved(path: Path, name: str) -> bytes:
    """Content of a file of the repository, its links turned to where things are in the site."""
    if path.suffix != ".md":
        return path.read_bytes()
    home = PurePosixPath(path.relative_to(ROOT)).parent.as_posix()

    def link(match: re.Match[str]) -> str:
        mark, text, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        file, hash_, anchor = target.partition("#")
        place = normpath(f"{home}/{file}")
        if place in _OUTSIDE:
            place = f"{_OUTSIDE[place]}.md"
        elif place.startswith("docs/"):
            place = place.removeprefix("docs/")
        else:  # a file that the site does not have
            return text if text.startswith("`") else f"{text} (`{place}`)"
        return f"{mark}[{text}]({relpath(place, PurePosixPath(name).parent)}{hash_}{anchor})"

    return _LINK.sub(link, path.read_text("utf-8")).encode()


def _index(commands: list[Command]) -> str:
    """The first page: what the README says, and the contents of docs/index.md for the sidebar."""
    parts = re.split(r"^## (.+)$", (ROOT / "docs/index.md").read_text("utf-8"), flags=re.M)
    lines = [_moved(ROOT / "README.md", "index.md").decode()]
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        pages = [normpath(f"docs/{t}") for t in re.findall(r"\]\(([^)#\s]+\.md)\)", text)]
        names = [_OUTSIDE.get(p, p.removeprefix("docs/").removesuffix(".md")) for p in pages]
        lines += _toctree(title, [n for n in dict.fromkeys(names) if n != "readme"])
        if title == "Guide":
            lines += _toctree("Reference", ["api", *(f"cli/{_file_name(c)}" for c in commands)])
    return "\n".join(lines) + "\n"


def _toctree(title: str, names: list[str]) -> list[str]:
    return ["", "```{toctree}", ":hidden:", f":caption: {title}", "", *names, "```"]


# --- pages made from the program -------------------------------------------------------------


def _file_name(command: Command) -> str:
    return command.name.replace(" ", "-")


def _title(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def command_page(command: Command) -> str:
    """The reference of a command in reStructuredText."""
    lines = [*_title(command.name, "="), f".. program:: {command.name}", ""]
    lines += [".. code-block:: text", "", f"   {command.name} {command.usage}", ""]
    lines += _paragraphs(command.text)
    lines += _title("Options", "-")
    for option in command.options:
        forms = ", ".join(f"{name} {option.value}".strip() for name in option.names)
        lines += [f".. option:: {forms}", "", f"   {_escaped(option.help)}", ""]
    return "\n".join([*lines, *_examples(command.examples)])


def _examples(examples: tuple[Paragraph, ...]) -> list[str]:
    if not examples:
        return []
    lines = _title("Examples", "-")
    for paragraph in examples:
        first, _, rest = paragraph.text.partition("\n")
        text = rest if first.strip() == "Examples:" else paragraph.text
        lines += _paragraphs((Paragraph(text, paragraph.literal),))
    return lines


def _paragraphs(paragraphs: tuple[Paragraph, ...]) -> list[str]:
    lines: list[str] = []
    for paragraph in paragraphs:
        if paragraph.literal:
            text = inspect.cleandoc("\n" + paragraph.text).splitlines()
            lines += [".. code-block:: text", "", *(f"   {line}" for line in text), ""]
        else:
            lines += [_escaped(" ".join(paragraph.text.split())), ""]
    return lines


def _escaped(text: str) -> str:
    """Text without what reStructuredText takes for marks."""
    return re.sub(r"([\\*`|_]|-(?=-))", r"\\\1", text)


def api_page() -> str:
    """The reference of the library in reStructuredText: every public name."""
    rest = set(roicodec.__all__) - {"__version__"}
    lines = [*_title("The library, name by name", "="), ":doc:`library` shows how to use it.", ""]
    groups: dict[str, list[str]] = {}
    for title, names in _API.items():
        groups[title] = [name for name in names if name in rest]
        rest -= set(names)
    if rest:
        groups["Others"] = sorted(rest)
    for title, found in groups.items():
        lines += _title(title, "-")
        for name in found:
            kind = "class" if inspect.isclass(getattr(roicodec, name)) else "function"
            error = inspect.isclass(value := getattr(roicodec, name)) and issubclass(
                value, Exception
            )
            directive = "autoexception" if error else f"auto{kind}"
            lines += [f".. {directive}:: roicodec.{name}"]
            lines += ["   :members:", "   :show-inheritance:"] if error else []
            lines += ["   :members:", "   :special-members: __iter__, __len__, __getitem__"] * (
                kind == "class" and not error
            )
            lines += [""]
    return "\n".join(lines)
