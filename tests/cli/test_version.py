"""``roicodec --version``: the program, the formats, the model and the kernels."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from roicodec import __version__
from roicodec.bitstream.constants import READABLE, VERSION
from roicodec.bitstream.reader import StreamReader
from roicodec.kernels import native
from tests.cli.command_line import Run

ROOT = Path(__file__).parents[2]


def lines(run: Run) -> dict[str, str]:
    done = run("--version")
    assert done.status == 0
    assert not done.err
    return dict(line.split(maxsplit=1) for line in done.out.splitlines())


def test_every_line(run: Run) -> None:
    found = lines(run)
    assert found["roicodec"] == __version__
    assert found["format"].split(",")[0] == str(VERSION)
    assert all(str(version) in found["format"] for version in READABLE)
    with (ROOT / "tests/golden/low-delay.rq").open("rb") as stream:
        assert found["model"] == StreamReader(stream).header.model_id.hex()
    assert native.reason() in found["kernels"]


def test_without_networks_or_kernels(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROICODEC_WEIGHTS", "/nowhere")
    assert lines(run)["model"].startswith("none: /nowhere/intra.safetensors: ")
    monkeypatch.setattr(native, "_found", lambda: (None, "not built"))
    assert lines(run)["kernels"] == "reference, in numpy: not built"


def test_the_package_has_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
