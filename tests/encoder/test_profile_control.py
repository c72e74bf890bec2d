"""Two passes: a bit rate that is met by what the first has found."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import roicodec
from roicodec.bitstream.constants import INTER
from roicodec.cli.commands import cli
from roicodec.encoder.options import EncoderOptions, rate_control
from roicodec.encoder.profile_control import OCTAVES, Profile, ProfileControl
from roicodec.errors import InputError
from roicodec.media import VideoInfo, Writer
from roicodec.two_pass import first_pass
from tests import tiny_model


def spend(control: ProfileControl, true: Sequence[float], middle: float) -> tuple[float, list[int]]:
    """Bits of frames that take ``true`` at the index ``middle``, and the indices."""
    total, chosen = 0.0, []
    for bits in true:
        quality = control.quality(INTER)
        took = bits * 2.0 ** (0.09 * (quality - middle))
        control.coded(INTER, quality, round(took), lambda: 30.0)
        total += took
        chosen.append(quality)
    return total, chosen


@pytest.mark.parametrize("wrong", [0.8, 1.0, 1.3])
def test_the_goal_is_met_at_a_quality_that_hardly_changes(wrong: float) -> None:
    """The first half is easy, the second takes ten times the bits; the first pass is wrong by a
    factor."""
    told = [1000] * 40 + [10000] * 40
    goal = sum(told) / len(told)
    control = ProfileControl(goal, Profile(30.0, tuple(told)))
    total, chosen = spend(control, [wrong * bits for bits in told], 30.0)
    assert total == pytest.approx(80 * goal, rel=0.03)
    assert max(chosen[20:]) - min(chosen[20:]) <= 3
    steady = 30 - np.log2(wrong) / OCTAVES
    assert np.mean(chosen[20:]) == pytest.approx(steady, abs=2)
    assert control.missed() == ""


def test_what_cannot_be_met_is_told() -> None:
    control = ProfileControl(1e6, Profile(63.0, (1000, 1000, 1000)))
    _, chosen = spend(control, [1000.0] * 3, 63.0)
    assert chosen == [63, 63, 63]
    assert "0.00 times what was asked for" in control.missed()
    more = ProfileControl(1000, Profile(20.0, (1000,)))
    spend(more, [1000.0] * 4, 20.0)  # more frames than the first pass had


def test_the_profile_is_an_option_of_a_bit_rate() -> None:
    profile = Profile(40.0, (100,))
    options = EncoderOptions(bit_rate=1000, profile=profile)
    assert isinstance(rate_control(options, 64), ProfileControl)
    with pytest.raises(InputError, match="profile: is for bit_rate"):
        EncoderOptions(profile=profile)
    with pytest.raises(InputError, match="two passes are for a bit rate"):
        first_pass(lambda options, file: None, EncoderOptions())


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve frames, of which the last six are noise."""
    tiny_model.save(tmp_path)
    monkeypatch.setenv("ROICODEC_WEIGHTS", str(tmp_path))
    rng = np.random.default_rng(0)
    path = tmp_path / "clip.y4m"
    with Writer(path, VideoInfo(64, 48, Fraction(1, 10), Fraction(10))) as writer:
        for number, picture in enumerate(tiny_model.pictures(64, 48, 12)):
            noise = rng.integers(0, 40, picture.y.shape)
            y = picture.y if number < 6 else np.clip(picture.y + noise, 0, 255).astype(np.uint8)
            writer.write(replace(picture, y=y))
    return path


def test_a_file_is_encoded_twice(clip: Path) -> None:
    plain = EncoderOptions(quality=34, effort=3, structure="low-delay")
    out = io.BytesIO()
    rate = 8 * roicodec.encode(clip, out, plain, roi="none").video_bytes / 1.2
    options = replace(plain, bit_rate=rate)
    report = roicodec.encode(clip, out := io.BytesIO(), options, roi="none", two_pass=True)
    assert 8 * report.video_bytes / 1.2 == pytest.approx(rate, rel=0.12)
    out.seek(0)
    with roicodec.open(out) as video:
        chosen = [picture.quality for picture in video][1:]
    assert max(chosen) - min(chosen) <= 6
    again = io.BytesIO()
    roicodec.encode(clip, again, options, roi="none", two_pass=True)
    assert again.getvalue() == out.getvalue()
    with pytest.raises(InputError, match="two passes need a file"):
        roicodec.encode("-", io.BytesIO(), options, two_pass=True)


@pytest.mark.parametrize("words", [["a.mp4", "-q", "30"], ["-", "--bitrate", "1M"]])
def test_two_passes_need_a_rate_and_a_file(words: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["encode", *words, str(tmp_path / "o.rq"), "--two-pass"])
    assert result.exit_code == 2
    assert "--two-pass is for --bitrate and a file" in result.output
