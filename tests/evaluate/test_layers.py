"""Statistics by temporal layer: of the golden pyramid, and on the terminal."""

from __future__ import annotations

import csv
from fractions import Fraction
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from roicodec.evaluate.metrics import quality
from roicodec.evaluate.run import Clip, Encode
from roicodec.evaluate.screen import Screen
from roicodec.evaluate.statistics import LayerStatistics, write_statistics
from roicodec.evaluate.streams import stream_frames
from roicodec.media import Reader, VideoInfo, Writer
from roicodec.picture import Picture

GOLDEN = Path(__file__).parents[1] / "golden" / "pyramid-8.rq"
CODEC = "roicodec_ld"


@pytest.fixture
def found(tmp_path: Path) -> list[LayerStatistics]:
    """Statistics of the golden pyramid of 8, against a source that has as many frames."""
    frames = list(stream_frames(GOLDEN))
    width, height = frames[0].header.width, frames[0].header.height
    rng = np.random.default_rng(5)
    sizes = [(height, width), *[((height + 1) // 2, (width + 1) // 2)] * 2]
    source = tmp_path / "source.y4m"
    with Writer(source, VideoInfo(width, height, Fraction(1, 25), Fraction(25))) as writer:
        for number in range(len(frames)):
            y, u, v = (rng.integers(0, 256, size).astype(np.uint8) for size in sizes)
            writer.write(picture := Picture(y, u, v, number, 1))
    with Reader(str(source)) as reader:
        clip = Clip("clip", source, reader.info, len(frames), "", "", "", "")
    (tmp_path / "a.rq").write_bytes(GOLDEN.read_bytes())
    encode = Encode(
        "clip", CODEC, 38, len(frames), width, height, 25.0, GOLDEN.stat().st_size,
        quality(picture, picture), "", "", None, None, "a.rq",
        frame_psnr=tuple(30.0 + number for number in range(len(frames))),
    )  # fmt: skip
    return write_statistics(tmp_path, [clip], [encode])


def test_layers_are_those_of_the_pyramid(found: list[LayerStatistics], tmp_path: Path) -> None:
    frames = list(stream_frames(GOLDEN))
    inter = [f for f in frames if f.motion is not None]
    assert [row.layer for row in found] == ["intra", "0", "1", "2", "3"]
    assert found[0].frames == len(frames) - len(inter) == 2
    assert sum(row.frames for row in found) == len(frames)
    assert sum(row.byte_share for row in found) == pytest.approx(1)
    for layer, row in enumerate(found[1:]):
        chunks = [f for f in inter if f.chunk.place.layer == layer]
        assert row.frames == len(chunks) > 0
        assert row.byte_share == pytest.approx(
            sum(f.size for f in chunks) / sum(f.size for f in frames)
        )
        assert row.quality == pytest.approx(np.mean([f.chunk.quality for f in chunks]))
        assert row.psnr == pytest.approx(30 + np.mean([f.number for f in chunks]))
    for row in found[:2]:
        assert all(isnan(share) for share in row.modes)
    for row in found[2:]:
        assert sum(row.modes) == pytest.approx(1)
    with (tmp_path / "regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["frame"]) for r in rows] == [f.number for f in frames]
    for r, frame in zip(rows, frames, strict=True):
        assert (int(r["layer"]), int(r["bytes"])) == (frame.chunk.place.layer, frame.size)
        assert (r["direct"] == "") == (r["type"] != "bidirectional")


def test_the_terminal_shows_them(
    found: list[LayerStatistics], capsys: pytest.CaptureFixture[str]
) -> None:
    Screen(0, quiet=True).show([], [], "", found)
    lines = capsys.readouterr().out.splitlines()
    start = next(n for n, line in enumerate(lines) if "by temporal layer" in line)
    shown = [line.split() for line in lines[start:] if CODEC in line]
    assert [row[1] for row in shown] == ["intra", "0", "1", "2", "3"]
    assert [len(row) for row in shown] == [7, 7, 11, 11, 11]
    for row, layer in zip(shown, found, strict=True):
        assert row[2:4] == [str(layer.frames), f"{100 * layer.byte_share:.1f}"]
