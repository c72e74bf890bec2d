"""The examples, on clips and streams that are made here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import roicodec
from examples import dataset, detector_roi, read_frames, roi_statistics, transcode
from roicodec.media import VideoInfo, Writer
from roicodec.picture import Picture
from tests import tiny_model

WIDTH, HEIGHT, FRAMES = 96, 64, 9
NOTEBOOK = Path(__file__).parents[2] / "examples/tour.ipynb"


@pytest.fixture(scope="module", autouse=True)
def _weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Networks that take no time."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_model.save(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROICODEC_WEIGHTS", str(folder))
        yield


def picture(n: int) -> Picture:
    """A bright square that moves over gray."""
    luma = np.full((HEIGHT, WIDTH), 90, np.uint8)
    luma[20:40, 8 * n : 8 * n + 20] = 220
    gray = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    return Picture(luma, gray, gray, n, 1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    with Writer(path, VideoInfo(WIDTH, HEIGHT, Fraction(1, 25), Fraction(25))) as writer:
        for n in range(FRAMES):
            writer.write(picture(n))
    return path


@pytest.fixture(scope="module")
def stream(clip: Path) -> Path:
    path = clip.with_suffix(".rq")
    options = roicodec.EncoderOptions(quality=30, gop=4, effort=1)
    roicodec.encode(clip, path, options, roi="16,16,32,32")
    return path


def test_read_frames(stream: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = list(read_frames.batches(str(stream), 4))
    assert [list(b.shape) for b in batches] == [[n, 3, HEIGHT, WIDTH] for n in (4, 4, 1)]
    with roicodec.open(stream) as video:
        first = torch.from_numpy(video[4].to_rgb())
    assert torch.equal((255 * batches[1][0]).round().byte(), first.permute(2, 0, 1))
    read_frames.main(str(stream))
    out = capsys.readouterr().out
    assert f"{FRAMES} pictures of {WIDTH}x{HEIGHT}" in out
    assert "batch [4, 3, 64, 96]" in out


def test_detector_roi(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.rq"
    detector_roi.main(str(clip), str(out))
    assert "9 frames, " in capsys.readouterr().out
    with roicodec.open(out) as video:
        last = video[FRAMES - 1]
    left = 8 * (FRAMES - 1) // 16
    assert last.mask[1:3, left : left + 2].all()  # where the square is
    assert not last.mask[:, :2].any()  # where it was long ago


def test_transcode(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.mkv"
    transcode.main(str(clip), str(tmp_path / "a.rq"), str(out))
    printed = capsys.readouterr().out
    for verb in ("encode", "decode"):
        assert f"{verb}: frame {FRAMES} of {FRAMES}, " in printed
    assert out.stat().st_size
    assert f"{FRAMES} frames coded, {FRAMES} decoded" in printed


def test_dataset(stream: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = dataset.ClipDataset([str(stream), str(stream)], length=3, stride=2)
    assert len(clips) == 2 * 4
    item = clips[5]
    assert item["rgb"].shape == (3, 3, HEIGHT, WIDTH)
    assert item["mask"].shape == (3, HEIGHT // 16, WIDTH // 16)
    with roicodec.open(stream) as video:
        assert np.array_equal(item["rgb"][1].movedim(0, -1).numpy(), video[3].to_rgb())
    dataset.main([str(stream), str(stream)])
    assert "'rgb': [2, 4, 3, 64, 96]" in capsys.readouterr().out


def test_roi_statistics(stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "map.png"
    roi_statistics.main(str(stream), str(out))
    printed = capsys.readouterr().out
    assert "ROI 16.7% of the picture, 16.7% to 16.7%" in printed
    assert sum(roi_statistics.bits_by_region(str(stream)).values()) == FRAMES
    image = cv2.imread(str(out), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    assert image.shape == (HEIGHT, WIDTH)
    assert (image[16:48, 16:48] == 255).all()
    assert image.mean() == pytest.approx(255 / 6)


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells, one after another, without a screen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    book = json.loads(NOTEBOOK.read_text("utf-8"))
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"tour.ipynb, cell {number}", "exec"), names)
    assert {"clip.rq", "clip.html", "clip.png"} <= {p.name for p in tmp_path.iterdir()}
