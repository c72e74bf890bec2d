"""README and documentation against the repository: examples run, links and options exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

import roicodec
from roicodec import __version__
from roicodec.bitstream.constants import VERSION
from roicodec.cli.commands import cli
from roicodec.media import VideoInfo, Writer
from roicodec.train.command import train_command
from tests import tiny_model

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    p.relative_to(ROOT).as_posix() for p in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
)
CLIP, STREAM = "clip.mp4", "a.rq"
"""Files that every example may read."""

OTHERS = {
    *("--extra-index-url", "--encoder-preset", "--encoder-tune", "--previews", "--scan"),
    *("--multi-pass", "--queue-import-file", "--start-at", "--vfr"),
}
"""Options of other programs."""
TOPS = ("roicodec", "tests", "benchmarks", "studies", "examples", "native", "docs")
FILES = [
    path.relative_to(ROOT).as_posix()
    for folder in (ROOT, *(ROOT / top for top in TOPS))
    for path in (folder.iterdir() if folder == ROOT else folder.rglob("*"))
]
SOURCES = (".py", ".cpp", ".h", ".md", ".safetensors")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def python_blocks(text: str) -> list[str]:
    """Fenced blocks of Python of a page."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def code_spans(text: str) -> list[str]:
    """Inline code, and the lines of indented and fenced blocks."""
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^ {4,}\S.*", prose, re.MULTILINE)
    return [*re.findall(r"`([^`\n]+)`", prose), *indented, *"".join(fenced).splitlines()]


def commands(group: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """The commands of a group, by what is typed to run them."""
    yield name, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for each in group.list_commands(context):
            command = group.get_command(context, each)
            assert command is not None
            yield from commands(command, f"{name} {each}")


COMMANDS = dict(commands(cli, "roicodec"))
import_module("roicodec.train.__main__")  # adds its commands
PROGRAMS = {**COMMANDS, **dict(commands(train_command, "roicodec.train"))}


# --- examples ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Contents of :data:`CLIP` and :data:`STREAM`: 6 moving pictures of 64x48."""
    folder = tmp_path_factory.mktemp("examples")
    clip, stream = folder / CLIP, folder / STREAM
    with Writer(clip, VideoInfo(64, 48, Fraction(1, 25), Fraction(25))) as writer:
        for picture in tiny_model.pictures(64, 48, 6):
            writer.write(picture)
    arguments = ["encode", str(clip), str(stream), "--effort", "1", "--quiet"]
    assert not cli.main(args=arguments, prog_name="roicodec", standalone_mode=False)
    return {path.name: path.read_bytes() for path in (clip, stream)}


@pytest.mark.parametrize("page", [p for p in PAGES if python_blocks(text_of(p))])
def test_every_python_block_runs(
    page: str,
    example_files: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The blocks of a page run one after another, with the same names."""
    monkeypatch.chdir(tmp_path)
    for name, content in example_files.items():
        Path(name).write_bytes(content)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(python_blocks(text_of(page)), 1):
        exec(compile(block, f"{page}, block {number}", "exec"), names)


def test_blocks_are_found() -> None:
    page = (
        "Text.\n\n```python\na = 1\nb = 2\n```\n\n    roicodec info `x`\n\n```sh\nls -l\n```\n`c`\n"
    )
    assert python_blocks(page) == ["a = 1\nb = 2\n"]
    assert code_spans(page) == ["x", "c", "    roicodec info `x`", "a = 1", "b = 2", "ls -l"]


# --- options -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[-1]} has no help"


def test_options_that_pages_name_exist() -> None:
    known: dict[str, set[str]] = {}
    for name, command in PROGRAMS.items():
        options = [p for p in command.params if isinstance(p, click.Option)]
        known[name] = {o for p in options for o in (*p.opts, *p.secondary_opts)}
        known[name] |= {"--help", "-h", "--version"}
    everywhere: set[str] = set().union(*known.values())
    found = 0
    for page in PAGES:
        for span in code_spans(text_of(page)):
            called = re.match(r"(?:.* )?(roicodec(?:\.train)?(?: [a-z-]+)?) (?=.*--)", span)
            named_options = re.findall(
                r"(?<![\w-])--[a-z][a-z-]+", span[called.start(1) :] if called else span
            )
            if called and called.group(1) in known:
                found += 1
                wrong = set(named_options) - known[called.group(1)]
                assert not wrong, f"{page}: {called.group(1)} has no {wrong}"
            elif named_options and span.startswith("--") and named_options[0] not in OTHERS:
                found += 1
                assert named_options[0] in everywhere, f"{page}: no command has {named_options[0]}"
    assert found > 20


# --- links ---------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Names of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", h.lower()) for h in headings)
    return {h.strip().replace(" ", "-") for h in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(file), f"{page}: {target}"


@pytest.mark.parametrize("page", [p for p in PAGES if p != "CHANGELOG.md"])
def test_files_and_modules_that_a_page_names_exist(page: str) -> None:
    for span in code_spans(text_of(page)):
        for word in re.findall(r"[\w./-]+", span):
            if word.startswith(tuple(f"{top}/" for top in TOPS)):
                assert (ROOT / word).exists(), f"{page}: {word}"
            elif word.endswith(SOURCES) and not word.startswith((".", "-")):
                assert any(f"/{f}".endswith(f"/{word}") for f in FILES), f"{page}: {word}"
        for module in re.findall(rf"(?:^|-m |-- )((?:{'|'.join(TOPS)})(?:\.\w+)+)", span):
            assert named(module), f"{page}: {module}"


def named(dotted: str) -> bool:
    """Whether a dotted name is a module, or a name in one."""
    parent, _, name = dotted.rpartition(".")
    try:
        return find_spec(dotted) is not None or hasattr(import_module(parent), name)
    except ModuleNotFoundError:
        return named(parent) and hasattr(import_module(parent), name) if "." in parent else False


def test_the_index_lists_every_page() -> None:
    index = text_of("docs/index.md")
    listed = set(re.findall(r"\]\(([^)#\s]+)\)", index))
    for page in PAGES:
        if page.startswith("docs/") and page != "docs/index.md":
            assert page.removeprefix("docs/") in listed, f"docs/index.md does not list {page}"


def test_the_architecture_names_every_package() -> None:
    page = text_of("docs/architecture.md")
    for path in (ROOT / "roicodec").glob("*/__init__.py"):
        assert f"`roicodec.{path.parent.name}`" in page


def test_the_library_s_page_names_everything_public() -> None:
    page = text_of("docs/library.md")
    for name in roicodec.__all__:
        assert re.search(rf"\b{name}\b", page), f"docs/library.md does not name {name}"


# --- changelog -----------------------------------------------------------------------------


def sections() -> list[tuple[str, str]]:
    """Version and text of every section of the changelog, newest first."""
    parts = re.split(r"^## (\S+).*$", text_of("CHANGELOG.md"), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def test_the_changelog_names_the_format_version() -> None:
    versions = [v for v, _ in sections()]
    assert __version__ in versions
    assert versions == sorted(versions, key=lambda v: [int(n) for n in v.split(".")], reverse=True)
    for version, text in sections():
        assert re.search(r"[Ff]ormat version \d+", text), f"{version} names no format version"
    newest = sections()[0][1]
    assert f"format version {VERSION}" in newest
    assert f"version {VERSION}" in text_of("docs/format.md").splitlines()[0]
