"""Benchmarks and studies as programs: their help, and a run on a tiny clip."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from roicodec.media import VideoInfo, Writer
from tests import tiny_model

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(
    f"{path.parent.name}.{path.stem}"
    for folder in ("benchmarks", "studies")
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)


def run(module: str, *arguments: object) -> int:
    """Exit status of a program in this process."""
    before = sys.argv
    sys.argv = [module, *map(str, arguments)]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


@pytest.mark.parametrize("module", PROGRAMS)
def test_help(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(module, "--help") == 0
    told = capsys.readouterr().out
    assert re.search(r"usage: ", told, re.IGNORECASE)


def test_programs_are_found() -> None:
    assert {"benchmarks.against", "benchmarks.clips", "studies.pairs"} <= set(PROGRAMS)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clips" / "clip.mkv"
    path.parent.mkdir()
    with Writer(path, VideoInfo(64, 64, Fraction(1, 25), Fraction(25))) as writer:
        for picture in tiny_model.pictures(64, 64, 4, seed=1):
            writer.write(picture)
    return path


@pytest.mark.slow
def test_runs_on_a_tiny_clip(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def printed(module: str, *arguments: object) -> str:
        assert run(module, *arguments) == 0
        return capsys.readouterr().out

    other = shutil.copy(clip, clip.with_name("other.mkv"))
    few = "--frames", 3, "--effort", 1
    assert "oracle" in printed("studies.pairs", f"{clip}=0,0,32,32", *few, "--candidates", "8,16")
    assert re.search(
        r"mean +-?\d", printed("studies.quantization", clip, "--frames", 2, "--bits", 8)
    )
    assert re.search(r"window .*%", printed("studies.new_content", clip, other, "--frames", 2))
    assert re.search(r"mean +\d", printed("studies.motion", clip.parent, "--frames", 3, "--qp", 34))
    small = "--height", 8, "--width", 8, "--depth", 1, "--repeats", 1
    assert "float32" in printed("benchmarks.kernels", *small)
    assert "GBitOPs" in printed("benchmarks.bitwidths", "--sizes", "64x64", "--runs", 1)


@pytest.mark.slow
def test_identity_notices_what_differs(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tmp_path / "known.json"
    known.write_text("{}")
    assert run("studies.identity", "check", known, clip, "--package", ROOT, "--frames", 1) == 1
    told = capsys.readouterr().out
    assert told.count("DIFFERENT") == 4
    assert run("studies.identity", "record", known, clip, "--package", ROOT, "--frames", 1) == 0
    assert run("studies.identity", "check", known, clip, "--package", ROOT, "--frames", 1) == 0
