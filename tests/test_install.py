"""A wheel, built with and without a compiler, installed apart from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

_ROOT = Path(__file__).parents[1]
_GOLDEN = Path(__file__).parent / "golden"
_LIBRARY = "roicodec/kernels/_native.so"


def wheel(folder: Path, **environment: str) -> Path:
    """A wheel built from a copy of the sources, without a library from the checkout."""
    source = folder / "source"
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(_ROOT / name, source)
    for name in ("native", "roicodec"):
        shutil.copytree(_ROOT / name, source / name, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*command, "--no-build-isolation", "--wheel-dir", str(folder), str(source)],
        env={**os.environ, **environment},
        check=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def installed(folder: Path, built: Path) -> dict[str, str]:
    """Installs a wheel in a folder; the environment in which it is the package."""
    target = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(built)], check=True)
    return {**os.environ, "PYTHONPATH": str(target), "PATH": "/nowhere"}


def run(environment: dict[str, str], folder: Path, *arguments: str) -> str:
    """What the program prints."""
    done = subprocess.run(
        [sys.executable, "-m", "roicodec", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(environment: dict[str, str], folder: Path) -> str:
    """Decodes a golden stream, whose pictures hold their CRC32; returns the backend's report."""
    stream = min(_GOLDEN.glob("*.rq"), key=lambda path: path.stat().st_size)
    run(environment, folder, "decode", str(stream), "out.yuv", "--quiet")
    assert (folder / "out.yuv").stat().st_size
    where = run(
        environment,
        folder,
        *("decode", str(stream), "again.yuv", "--json", "--backend", "auto"),
    )
    assert json.loads(where)["damages"] == 0
    code = "from roicodec.kernels import native; print(native.reason(), native.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert str(folder) in done.stdout, done.stderr
    return done.stdout


def test_without_a_compiler(tmp_path: Path) -> None:
    built = wheel(tmp_path, CC="/nowhere/cc", CXX="/nowhere/c++", PATH="/nowhere")
    assert _LIBRARY not in ZipFile(built).namelist()
    assert check(installed(tmp_path, built), tmp_path).startswith("not built (no _native.so")


@pytest.mark.slow
def test_with_a_compiler(tmp_path: Path) -> None:
    if not shutil.which("c++"):
        pytest.skip("no compiler")
    built = wheel(tmp_path)
    assert _LIBRARY in ZipFile(built).namelist()
    assert "-py3-none-" in built.name
    assert "instructions" in check(installed(tmp_path, built), tmp_path)
