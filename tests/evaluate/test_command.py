"""``roicodec eval`` from the command line to files and Markdown."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from roicodec.errors import InputError
from roicodec.evaluate.command import eval_command
from roicodec.evaluate.results import write_results
from roicodec.evaluate.run import Encode
from roicodec.evaluate.tables import mean_comparison
from studies import results as report
from tests.evaluate.small_run import FRAMES, write_clip
from tests.fake_codec import FakeFactory


def call(*arguments: object) -> Result:
    return CliRunner().invoke(eval_command, [str(a) for a in arguments], obj=FakeFactory())


def test_the_command_writes_everything(clip: Path, masks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [clip, "--against", "x264,svtav1", "--anchor-qualities", "20,38",
                 "--qualities", "3", "--few", "--frames", 3, "--roi", masks,
                 "--out", out]  # fmt: skip
    result = call(*arguments)
    assert result.exception is None, result.output
    for text in ("roicodec+roi", "x264_medium_psnr+roi6", "svtav1_p4", "[1/12]"):
        assert text in result.output
    results = json.loads((out / "results.json").read_text())
    assert len(results["encodes"]) == 12
    assert results["reference"] == "x264_medium"
    assert any("svtav1" in message for message in results["messages"])
    for e in results["encodes"]:
        assert e["command"]
        assert e["version"]
        assert e["encoding"]["wall_s"] > 0
        assert (out / e["stream"]).stat().st_size == e["bytes"]
    assert len((out / "results.csv").read_text().splitlines()) == 13
    own = [e for e in results["encodes"] if e["codec"].startswith("roicodec")]
    with (out / "regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(own)
    for row in rows:
        assert row["type"] == ("inter" if int(row["frame"]) else "intra")
        assert int(row["b_bg"]) in (4, 8, 16)
        with_roi = row["codec"].endswith("+roi")
        assert (float(row["roi_share"]) > 0) == (float(row["roi_sigma_y"]) > 0) == with_roi
        assert int(row["bit_ops"]) > 0
        assert float(row["bg_gradient_y"]) > 0
    plots = sorted(p.name for p in (out / "plots").iterdir())
    assert "moving_psnr_y.png" in plots
    assert "moving_wpsnr_y.svg" in plots
    kept = {p: (out / "plots" / p).read_bytes() for p in plots}
    again = call(*arguments, "--quiet")
    assert again.exception is None
    assert "[1/12]" not in again.output
    assert {p: (out / "plots" / p).read_bytes() for p in plots} == kept


def test_a_second_run_adds(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plot_curves", "plot_means"):  # which take most of the time
        monkeypatch.setattr(f"roicodec.evaluate.results.{name}", lambda *_: [])
    out, other = tmp_path / "out", write_clip(tmp_path / "other.y4m", 2)
    few = ["--few", "--qualities", "3", "--anchor-qualities", "30", "--out", out]

    def run(*arguments: object) -> tuple[Counter[tuple[str, str]], list[str]]:
        result = call(*arguments, *few)
        assert result.exception is None, result.output
        found = json.loads((out / "results.json").read_text())
        return Counter((e["clip"], e["codec"]) for e in found["encodes"]), found["messages"]

    first, _ = run(clip, "--against", "x264", "--frames", 3)
    assert sorted(first) == [("moving", c) for c in ("roicodec", "x264_medium", "x264_medium_psnr")]
    second, _ = run(other, "--against", "svtav1", "--frames", 3)
    added = {("other", "roicodec"), ("other", "svtav1_p4")}
    assert second.keys() == first.keys() | added
    assert max(second.values()) == 1
    with (out / "regions.csv").open(newline="") as file:
        assert {row["clip"] for row in csv.DictReader(file)} == {"moving", "other"}
    page = (out / "report.html").read_text()
    assert '"name": "other"' in page
    assert '"name": "moving"' in page
    third, messages = run(clip, "--against", "none", "--frames", 4)
    assert third.keys() == added | {("moving", "roicodec")}
    assert any("earlier results are left out: they are of 3 frames" in m for m in messages)


def test_wrong_use_is_told(clip: Path, tmp_path: Path) -> None:
    def error(*arguments: object) -> str:
        result = call(*arguments, "--out", tmp_path / "out")
        assert result.exit_code != 0
        return f"{result.output} {result.exception}"

    assert "no such file" in error(tmp_path / "none.mkv")
    (tmp_path / "empty").mkdir()
    assert "no videos" in error(tmp_path / "empty")
    assert "known are x264" in error(clip, "--against", "x266")
    assert "0..63" in error(clip, "--qualities", "70")
    assert "x264: quality 60 is not in 0..51" in error(clip, "--anchor-qualities", "30,60")
    assert "there are roicodec, x264" in error(clip, "--reference", "x265")
    assert "'9' is not one of auto, low-delay" in error(clip, "--structure", "8,9")
    assert "whole numbers" in error(clip, "--qualities", "a,b")
    assert "cannot be read" in error(clip, "--points", tmp_path / "none.csv")
    for few in (("--qualities", "3,12,30"), ("--anchor-qualities", "20,30,40")):
        assert "3 qualities have no BD-BR, which takes 4" in error(clip, *few)
    assert "give both" in error(clip, "--metric", "psnr_y")
    assert "metric blur: known are psnr_y" in error(clip, "--markdown", "--metric", "blur")
    assert not (tmp_path / "out").exists()  # before anything was encoded
    (tmp_path / "b").mkdir()
    shutil.copy(clip, tmp_path / "b" / clip.name)
    assert "both called moving" in error(clip, tmp_path / "b")
    text = tmp_path / "text.mkv"
    text.write_text("not a video")
    assert "text.mkv" in error(text)


def test_a_failed_encode_fails_the_command(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NO_MODEL", "1")
    out = tmp_path / "out"
    result = call(clip, "--against", "x264", "--anchor-qualities", 30, "--qualities", 3,
                  "--few", "--out", out)  # fmt: skip
    assert isinstance(result.exception, InputError)
    assert "1 encodes failed" in str(result.exception)
    assert "released weights are missing" in result.output
    assert len(json.loads((out / "results.json").read_text())["encodes"]) == 2


def test_results_as_markdown(measured: tuple[Any, list[Encode], Path], tmp_path: Path) -> None:
    clips, encodes, out = measured
    about = dict.fromkeys(("Date", "Versions", "Machine", "Command"), "told")
    found = write_results(out, clips, encodes, "x264_medium_ld", about, [])
    part = report.Part("ld", "Low delay", "ld", FRAMES, "x264_medium_ld")
    lines = list(report.section(part, out, tmp_path))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    heads = {row[0]: row for row, rule in itertools.pairwise(rows) if rule[0] == "---"}
    assert list(heads) == ["mean", "PSNR-Y", "ROI-weighted PSNR-Y", "codec", "clip"]
    mean = next(row for row in rows if row[0] == "x264_medium_ld+roi6")
    given = mean_comparison(found, "x264_medium_ld+roi6", "wpsnr_y")
    assert f"{given.percent:+.1f}" in mean[heads["mean"].index("ROI-weighted PSNR-Y")]
    (own,) = [row for row in rows if row[:2] == ["moving", "roicodec_ld+roi"]]
    assert own[2:4] == ["7", str(encodes[0].bytes)]
    assert "- Date: told" in lines
    for name in ("ld_psnr_y.svg", "ld_wpsnr_y.svg"):
        assert "<path" in (tmp_path / name).read_text()
        assert any(f"({tmp_path.name}/{name})" in line for line in lines)
