"""The comparison with an older commit: arithmetic of its ratios, and a run against this commit."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks.against import ROOT, Ratios, Version, built, main, measure
from roicodec.media import VideoInfo, Writer
from tests import tiny_model


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mkv"
    with Writer(path, VideoInfo(64, 48, Fraction(1, 25), Fraction(25))) as writer:
        for picture in tiny_model.pictures(64, 48, 3):
            writer.write(picture)
    return path


def test_ratios_are_of_pairs() -> None:
    # The median of ratios, not the ratio of medians (which is 3 / 2).
    ratios = Ratios(old=(1.0, 2.0, 4.0), new=(3.0, 4.0, 2.0))
    assert ratios.values == [0.5, 2.0, 3.0]
    assert "2.000 (0.500 to 3.000)" in str(ratios)


class Recorded(Version):
    """A version that writes what it is told instead of coding, and takes as long as it is told."""

    def run(self, *arguments: object) -> float:
        task, source, target, *options = map(str, arguments)
        log.append((self.name, task, *options[1:2]))
        if task == "encode":
            Path(target).write_text(f"{self.name} {options[1]}")
        else:
            Path(target).write_text(Path(source).read_text())
        count = int(options[1].removeprefix("0:")) if task == "encode" else 0
        return {"old": 2.0, "new": 1.0}[self.name] * count + 0.5


log: list[tuple[str, ...]] = []


@pytest.fixture
def versions() -> tuple[Recorded, Recorded]:
    log.clear()
    return Recorded("old", Path("/old")), Recorded("new", Path("/new"))


def test_versions_take_turns_and_start_up_is_taken_off(
    versions: tuple[Recorded, Recorded], clip: Path
) -> None:
    old, new = versions
    result = measure(
        old, new, clip, task="encode", pairs=2, frames=5, structure="low-delay", options=()
    )
    order = [name for name, task, *_ in log if task == "encode"]
    assert order == ["old", "old", "new", "new", "new", "new", "old", "old"]
    assert result.whole == Ratios((10.5, 10.5), (5.5, 5.5))
    assert result.frames == Ratios((8.0, 8.0), (4.0, 4.0))
    assert not result.same


def test_decoding_takes_the_old_stream_for_both(
    versions: tuple[Recorded, Recorded], clip: Path
) -> None:
    result = measure(
        *versions, clip, task="decode", pairs=1, frames=5, structure="low-delay", options=()
    )
    assert {name for name, task, *_ in log if task == "encode"} == {"old"}
    assert result.same
    assert result.sizes[0] == result.sizes[1]


def test_an_unknown_commit_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="git knows no commit nothing-like-it") as caught:
        built("nothing-like-it", tmp_path / "old")
    assert "\n" not in caught.value.message


def test_a_failing_command_says_which_version(clip: Path) -> None:
    with pytest.raises(click.ClickException, match=r"new: roicodec decode .*clip\.mkv.*not"):
        Version("new", ROOT).run("decode", clip, clip.with_suffix(".yuv"))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["encode", "decode"])
def test_this_commit_against_itself(clip: Path, task: str) -> None:
    if subprocess.run(["git", "-C", str(ROOT), "rev-parse"], capture_output=True).returncode:
        pytest.skip("not a git repository: clone it to compare commits")
    arguments = ["HEAD", str(clip), "--task", task, "--pairs", "1", "--frames", "3"]
    result = CliRunner().invoke(main, [*arguments, "--effort", "1"], catch_exceptions=False)
    assert result.exit_code == 0
    assert re.search(r"clip\.mkv: same pictures, \d+ bytes", result.output)
    found = re.findall(r"(processes|frames) .* s +(\d+\.\d+) \(", result.output)
    ratios = {part: float(ratio) for part, ratio in found}
    assert ratios.keys() == {"processes", "frames"}
    assert 0.2 < ratios["processes"] < 5
