"""Who may import whom, read from the source of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "roicodec"

LEAVES = {"errors", "picture"}
"""Modules that know of no other."""

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "picture": {"errors"},
    "psnr": LEAVES,
    "output": {"errors"},
    "text": set(),
    "bitstream": {*LEAVES, "kernels.native", "kernels.operations"},
    "kernels": {"errors"},
    "decoder": {*LEAVES, "bitstream", "kernels"},
    "networks": {
        *LEAVES,
        *("bitstream.constants", "kernels", "decoder.weights", "decoder.architecture"),
    },
    "encoder": {*LEAVES, "psnr", "output", "bitstream", "kernels", "decoder", "media.source"},
    "media": {*LEAVES, "text", "bitstream.color", "bitstream.fields", "output"},
    "segments": {
        *LEAVES,
        *("bitstream", "decoder.weights", "description", "encoder", "factory", "media", "output"),
    },
}
"""What each package may import besides itself."""

TOPS = {"cli", "evaluate", "train"}
"""Packages that only the command line reaches."""


def modules() -> Iterator[tuple[str, set[str]]]:
    """Each module's name below ``roicodec`` and the modules of the package that it imports."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        own = {imported.removeprefix("roicodec.") for imported in found if "roicodec." in imported}
        yield name, {f for f in own if not f.startswith("__")}


MODULES = dict(modules())


def within(name: str, package: str) -> bool:
    """Whether a module or a name of it lies in a package."""
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    allowed = ALLOWED[package] | {package}
    for name, imported in MODULES.items():
        if within(name, package):
            wrong = [i for i in imported if not any(within(i, a) for a in allowed)]
            assert not wrong, f"{name} imports {wrong}"


def test_networks_are_imported_by_training_alone() -> None:
    for name, imported in MODULES.items():
        if not (within(name, "networks") or within(name, "train")):
            wrong = [i for i in imported if within(i, "networks")]
            assert not wrong, f"{name} imports {wrong}"


@pytest.mark.parametrize("top", sorted(TOPS))
def test_command_line_evaluation_and_training_are_imported_by_the_command_line_alone(
    top: str,
) -> None:
    for name, imported in MODULES.items():
        if not within(name, top) and not within(name, "cli") and name != "__main__":
            wrong = [i for i in imported if within(i, top)]
            assert not wrong, f"{name} imports {wrong}"


@pytest.mark.parametrize("package", ["bitstream", "stream_info", "picture", "psnr", "errors"])
def test_the_bitstream_needs_no_torch(package: str) -> None:
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if within(name, package):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                assert not any(within(n, "torch") for n in names), f"{name} imports torch"


def test_the_rules_see_the_package() -> None:
    assert any(within(i, "bitstream") for i in MODULES["decoder.frame"])
    assert "picture.Picture" in MODULES["psnr"]
