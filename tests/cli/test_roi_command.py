"""``roicodec roi``: a video that shows what becomes ROI."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from roicodec.cli.commands import cli
from roicodec.errors import InputError
from roicodec.media import Reader, Writer
from roicodec.picture import Picture
from tests.media_clips import info

WIDTH, HEIGHT, FRAMES = 96, 64, 8


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A bright square on noise that moves to the right."""
    noise = np.random.default_rng(0).integers(60, 120, (HEIGHT, WIDTH)).astype(np.uint8)
    chroma = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    path = tmp_path / "in.y4m"
    with Writer(path, info(WIDTH, HEIGHT)) as writer:
        for n in range(FRAMES):
            y = noise.copy()
            y[16:48, 8 + 4 * n : 40 + 4 * n] = 230
            writer.write(Picture(y, chroma, chroma, n, 1))
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["roi", "--threads", "1", *map(str, arguments)])


def test_a_rectangle_is_shown(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.y4m"
    done = call(clip, "--out", out, "--roi", "0,0,48,64", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["frames"] == FRAMES
    assert found["roi_share"] == pytest.approx(0.5)
    assert found["changed_cells"] == 0
    with Reader(str(out)) as reader:
        shown = list(reader)
    assert (shown[0].width, shown[0].height) == (WIDTH, HEIGHT + 32)
    assert shown[3].y[40:90, 6:42].mean() > shown[3].y[40:90, 54:90].mean() + 20


def test_auto_shows_its_map_beside(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.y4m"
    done = call(clip, "--out", out, "--frames", "2:6")
    assert done.exit_code == 0, done.output
    assert "4 frames" in done.output
    with Reader(str(out)) as reader:
        shown = list(reader)
    assert len(shown) == 4
    assert (shown[0].width, shown[0].height) == (2 * WIDTH, HEIGHT + 32)


def test_errors(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    out.write_bytes(b"mine")
    refused = call(clip, "--out", out)
    assert isinstance(refused.exception, InputError)
    assert "exists" in str(refused.exception)
    assert out.read_bytes() == b"mine"
    wrong = call(clip, "--out", tmp_path / "b.mkv", "--roi", "nowhere.png")
    assert isinstance(wrong.exception, InputError)
    assert not (tmp_path / "b.mkv").exists()
