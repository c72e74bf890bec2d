"""Data of training: clips, cuts, motion, and wrong options."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roicodec.errors import InputError
from roicodec.picture import Picture
from roicodec.train.data import load_folder
from tests import tiny_model
from tests.train.small_training import FRAMES, SIDE, train, write_clip


def test_a_folder_is_decoded_once_and_cuts_are_found(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    one, two = (tiny_model.pictures(134, 130, 5, seed=s) for s in (1, 2))
    dark = [Picture(p.y // 4, p.u, p.v) for p in two]
    write_clip(folder / "cut.mp4", one[:3] + dark)
    write_clip(folder / "small.mp4", tiny_model.pictures(96, 144, 2))
    for n in (0, 1):
        (folder / f"clip.{n}.mp4").write_bytes((data / f"clip.{n}.mp4").read_bytes())
    clips = load_folder(folder, tmp_path / "cache", motion=True)
    assert [c.name for c in clips] == ["clip.0.mp4", "clip.1.mp4", "cut.mp4"]
    assert [c.cuts for c in clips] == [(0,), (0,), (0, 3)]
    assert (clips[2].width, clips[2].height, len(clips[2].frames)) == (128, 128, 8)
    assert clips[2].runs(3) == [0, 3, 4, 5]
    first = tiny_model.pictures(SIDE, SIDE, FRAMES, seed=1, speed=(-1.25, 1.0))[0]
    error = clips[1].frames[0, :SIDE].astype(int) - first.y
    assert np.abs(error).mean() < 3
    # The texture of clip.0 moves by (2, 0.5) samples a frame; what was there is where it was.
    assert clips[0].motion is not None
    middle = np.median(clips[0].motion[0, 3:].reshape(-1, 2), axis=0)
    assert np.abs(middle - [8, 2]).max() <= 1
    files = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    assert not [name for name in files if "tmp" in name]
    again = load_folder(folder, tmp_path / "cache", motion=True)
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()} == files
    assert (again[0].frames == clips[0].frames).all()


def test_clips_come_backwards_and_at_half_their_rate(data: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "clip.mp4").write_bytes((data / "clip.0.mp4").read_bytes())
    write_clip(tmp_path / "data" / "still.mp4", tiny_model.pictures(128, 128, 1))
    found = load_folder(tmp_path / "data", tmp_path / "cache", motion=True, times=True)
    ahead, back, half, still = found
    names = [c.name for c in found]
    assert names == ["clip.mp4", "clip.mp4 reversed", "clip.mp4 halved", "still.mp4"]
    assert (back.frames == ahead.frames[::-1]).all()
    assert (half.frames == ahead.frames[::2]).all()
    assert still.motion is None
    for clip, expected in ((ahead, (8, 2)), (back, (-8, -2)), (half, (16, 4))):
        assert clip.motion is not None
        assert len(clip.motion[0]) == len(clip.frames)
        middle = np.median(clip.motion[0, 1:].reshape(-1, 2), axis=0)
        assert np.abs(middle - expected).max() <= 1


def test_wrong_use(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clips or photographs"):
        load_folder(tmp_path, tmp_path / "cache", motion=False)
    for arguments, says in (
        (("intra", "--size", 100), "must be a multiple of 32"),
        (("intra", "--quantize", "--compile"), "a graph for each pair"),
        (("intra", "--quantize", "--batch", 3), "quantize splits it in 4"),
        (("intra", "--bits", 4), "--bits: only with quantize"),
        (("intra", "--bits", 4, "--quantize", "--coarsest", 2), "exclude each other"),
        (("intra", "--coarsest", 2, "--unmatched"), "exclude each other"),
        (("intra", "--unmatched"), "only inter frames"),
        (("inter",), "name the checkpoint of a trained intra network"),
    ):
        result = train("fit", *arguments, "--data", data, "--run", tmp_path)
        assert result.exit_code == 2
        assert says in result.output
