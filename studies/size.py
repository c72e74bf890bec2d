"""Size of the code: non-blank lines and public names, now and at an older commit.

    python -m studies.size [COMMIT]

Lines are those of Python and C++ that hold anything, comments and docstrings included. Public names
are the entries of every ``__all__``. The last column is the longest module.
"""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.against import checkout

__all__ = ["Size", "main", "sizes"]

ROOT = Path(__file__).parents[1]
FOLDERS = ("roicodec", "native", "tests", "benchmarks", "studies", "examples")
SOURCES = (".py", ".cpp", ".h")


@dataclass(frozen=True)
class Size:
    """Size of a folder.

    Attributes:
        files: number of source files.
        lines: lines that are not blank.
        names: entries of every ``__all__``.
        longest: lines of the longest file, blank ones included.
    """

    files: int
    lines: int
    names: int
    longest: int

    def __str__(self) -> str:
        return f"{self.files:6}{self.lines:8}{self.names:8}{self.longest:9}"


def public_names(source: str) -> int:
    """Number of entries of a module's ``__all__``."""
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            assert isinstance(node, ast.Assign)
            return len(list(ast.iter_child_nodes(node.value))) - 1  # the last is the context
    return 0


def size(paths: list[Path]) -> Size:
    """Size of some files."""
    texts = [path.read_text(encoding="utf-8") for path in paths]
    python = (t for p, t in zip(paths, texts, strict=True) if p.suffix == ".py")
    return Size(
        len(paths),
        sum(bool(line.strip()) for text in texts for line in text.splitlines()),
        sum(map(public_names, python)),
        max((len(text.splitlines()) for text in texts), default=0),
    )


def sizes(root: Path) -> Iterator[tuple[str, Size]]:
    """Sizes of the folders below a root, packages of ``roicodec`` one by one; then of the whole
    ``roicodec``."""
    for folder in FOLDERS:
        files = [p for p in sorted((root / folder).rglob("*")) if p.suffix in SOURCES]
        if folder == "roicodec":
            packages = sorted({p.relative_to(root / folder).parts[0] for p in files})
            for name in (p for p in packages if not p.endswith(".py")):
                yield f"roicodec.{name}", size([p for p in files if name in p.parts])
        if files:
            yield folder, size(files)


@click.command(help=__doc__)
@click.argument("commit", required=False)
def main(commit: str | None) -> None:
    tables = {"now": dict(sizes(ROOT))}
    if commit:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "old"
            tables = {checkout(commit, folder): dict(sizes(folder))} | tables
    for title, table in tables.items():
        click.echo(f"{title:24} files   lines   names  longest")
        for name, each in table.items():
            click.echo(f"  {name:20}{each}")


if __name__ == "__main__":
    main()
