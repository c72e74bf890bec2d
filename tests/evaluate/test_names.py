"""Clips with any name: no folder but their own is touched, no plot fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from roicodec.evaluate.command import eval_command
from roicodec.evaluate.names import folder_name
from tests.evaluate.small_run import write_clip
from tests.fake_codec import FakeFactory


@pytest.mark.parametrize("stem", ["moving", "a b", "x.264", "$x^2$", "動画", "-f", "a" * 100])
def test_usual_names_stay(stem: str) -> None:
    assert folder_name(stem) == stem


@pytest.mark.parametrize("stem", ["..", ".", ".hidden", "a\nb", "a/b", "\udce9", "", "é" * 120])
def test_others_are_replaced(stem: str) -> None:
    name = folder_name(stem)
    assert name.encode().strip(b".") == name.encode()
    assert "/" not in name
    assert name != stem
    assert len(name.encode()) <= 110


@given(st.text(max_size=150), st.text(max_size=150))
def test_different_clips_have_different_folders(one: str, other: str) -> None:
    assert (folder_name(one) == folder_name(other)) == (one == other)
    assert Path(folder_name(one)).name == folder_name(one)


def test_a_comparison_of_clips_with_odd_names(tmp_path: Path) -> None:
    """``...mkv`` (whose stem is ``..``), ``$`` that looks like a formula, an escape sequence."""
    odd = [write_clip(tmp_path / "a.y4m", 1, 2).rename(tmp_path / n) for n in ("...y4m",)]
    odd += [write_clip(tmp_path / n, 2, 2) for n in ("$a_{.y4m", "b\x1b[2J.y4m")]
    out = tmp_path / "out"
    kept = out / "streams" / "kept"
    kept.mkdir(parents=True)
    done = CliRunner().invoke(
        eval_command,
        [*map(str, odd), "--against", "x264", "--anchor-qualities", "20",
         "--qualities", "3", "--few", "--out", str(out)],
        obj=FakeFactory(),
    )  # fmt: skip
    assert done.exception is None, done.output
    assert "\x1b[2J" not in done.output
    assert r"b_[2J-" in done.output
    assert kept.exists()
    assert sorted(os.listdir(tmp_path)) == sorted([*(p.name for p in odd), "out"])
    assert len(os.listdir(out / "streams")) == 4
    assert (out / "report.html").exists()
