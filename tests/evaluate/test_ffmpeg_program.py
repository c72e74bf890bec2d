"""The program of imageio-ffmpeg: VMAF and more codecs, where it is installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from roicodec.errors import InputError
from roicodec.evaluate import ffmpeg_program
from roicodec.evaluate.coders import CONFIGS, anchor_coders, refusal
from roicodec.evaluate.program_coders import PROGRAM_FAMILIES
from roicodec.evaluate.run import run_plan
from roicodec.media import Reader, VideoInfo, Writer
from roicodec.picture import Picture
from tests.evaluate.small_run import (
    FRAMES,
    HEIGHT,
    RATE,
    WIDTH,
    Log,
    own,
    plan_of,
    write_clip,
    x264,
)

installed = pytest.mark.skipif(
    not ffmpeg_program.has_vmaf(), reason="no ffmpeg with libvmaf: the extra vmaf"
)


@pytest.fixture
def _nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ffmpeg_program, "program", lambda: "")
    ffmpeg_program._listing.cache_clear()
    yield
    ffmpeg_program._listing.cache_clear()


@pytest.mark.usefixtures("_nothing")
def test_without_the_program_its_codecs_are_left_out(clip: Path, tmp_path: Path) -> None:
    for family in ("aom", "kvazaar"):
        coders, [message] = anchor_coders(family, "default", None, roi=True)
        assert coders == []
        assert f"{family} is left out" in message
        assert "pip install 'roicodec[vmaf]'" in message
    _, [encode] = run_plan(plan_of(clip, tmp_path / "out", [own("ld", "none", (7,))]), Log())
    assert np.isnan(encode.quality.vmaf)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("family", PROGRAM_FAMILIES)
def test_commands_say_quality_and_form(
    family: str, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg_program, "has_encoder", lambda name: True)
    monkeypatch.setattr("roicodec.evaluate.coders._vvenc_version", lambda: "")
    monkeypatch.setattr(ffmpeg_program, "program", lambda: "ffmpeg")
    coders, messages = anchor_coders(family, config, (31,), roi=True)
    assert len(coders) == (2 if family == "kvazaar" else 1)
    assert bool(messages) == (family != "kvazaar")
    for coder in coders:
        said = coder.settings(31)
        assert "31" in said.replace("=", " ").replace(",", " ").split()
        assert ("roi=MASKS" in said) == coder.with_masks == coder.name.endswith("+roi6")
        assert ("ld" in coder.name.partition("+")[0].split("_")) == (config == "ld")
        command = coder.encode(31, Path("a.y4m"), Path("b.bin"), 5, Path("m.npy"))
        assert command[-1] == "b.bin"
        assert ("m.npy" in command) == coder.with_masks
        assert coder.decode(Path("b.bin"), Path("c.y4m"))[-1] == "c.y4m"
    with pytest.raises(InputError, match=r"quality 64 is not in 0\.\."):
        anchor_coders(family, config, (64,), roi=False)


def test_kvazaar_is_left_out_of_sizes_that_it_cannot_encode(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg_program, "has_encoder", lambda name: True)
    coders, _ = anchor_coders("kvazaar", "default", (31,), roi=False)
    log = Log()
    _, encodes = run_plan(plan_of(clip, tmp_path / "out", [*coders, *x264((30,))]), log)
    assert {encode.codec.split("_")[0] for encode in encodes} == {"x264"}
    assert not log.failures
    [message] = log.messages
    assert "kvazaar_medium is left out: it takes multiples of 8, not 90x58" in message
    even = VideoInfo(96, 64, 1 / RATE, RATE)
    assert not refusal(coders[0], even)


@installed
def test_vmaf_falls_with_quality(clip: Path, tmp_path: Path) -> None:
    same = ffmpeg_program.vmaf(clip, clip)
    assert len(same) == FRAMES
    assert min(same) > 90
    other = ffmpeg_program.vmaf(clip, write_clip(tmp_path / "other.y4m", 9))
    assert max(other) < min(same) - 20
    with pytest.raises(InputError, match="VMAF cannot be measured"):
        ffmpeg_program.vmaf(clip, tmp_path / "none.y4m")


@installed
def test_a_run_has_vmaf(clip: Path, tmp_path: Path) -> None:
    _, [encode] = run_plan(plan_of(clip, tmp_path / "out", [own("ld", "none", (7,))]), Log())
    assert encode.quality.vmaf == pytest.approx(np.mean(ffmpeg_program.vmaf(clip, clip)))


def read(path: Path) -> list[Picture]:
    with Reader(str(path)) as reader:
        return list(reader)


def error_inside(a: Picture, b: Picture) -> float:
    difference = a.y[:16, :16].astype(int) - b.y[:16, :16]
    return float(np.square(difference).mean())


@pytest.mark.parametrize("family", PROGRAM_FAMILIES)
def test_files_of_other_codecs_come_back(family: str, clip: Path, tmp_path: Path) -> None:
    if not ffmpeg_program.has_encoder(PROGRAM_FAMILIES[family].encoder):
        pytest.skip(f"no ffmpeg with {family}")
    # Kvazaar takes multiples of 8 alone.
    source, (height, width) = tmp_path / "source.y4m", (HEIGHT // 8 * 8, WIDTH // 8 * 8)
    with Writer(source, VideoInfo(width, height, 1 / RATE, RATE)) as writer:
        for p in read(clip):
            half = slice(height // 2), slice(width // 2)
            y, u, v = p.y[:height, :width].copy(), p.u[half].copy(), p.v[half].copy()
            writer.write(Picture(y, u, v, p.pts, 1))
    mask = np.zeros((FRAMES, height, width), np.bool_)
    mask[:, :16, :16] = True
    np.save(tmp_path / "mask.npy", mask)
    coders, _ = anchor_coders(family, "default", None, roi=family == "kvazaar")
    errors = []
    for coder in coders:
        stream, target = tmp_path / f"{coder.name}{coder.suffix}", tmp_path / "back.y4m"
        for command in (
            coder.encode(37, source, stream, FRAMES, tmp_path / "mask.npy"),
            coder.decode(stream, target),
        ):
            subprocess.run(command, check=True)
        pictures = read(target)
        assert [p.y.shape for p in pictures] == [(height, width)] * FRAMES
        both = zip(read(source), pictures, strict=True)
        errors.append(np.mean([error_inside(a, b) for a, b in both]))
    if len(errors) == 2:
        assert errors[1] < errors[0], "the ROI is no nearer to the source"
