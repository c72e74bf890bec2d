"""The released weights through the command line, on a real clip: what a user gets."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from examples.clips import find_clip
from roicodec.cli.commands import cli
from roicodec.decoder.model import load_model
from roicodec.decoder.weights import load_arrays, model_id
from roicodec.media import Reader
from roicodec.psnr import psnr

FRAMES = 3


def run(*arguments: object) -> str:
    done = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def code(tmp_path: Path, *options: object) -> tuple[dict[str, object], float]:
    """Encode and decode the first frames of a clip: what encode tells, mean PSNR-Y in dB."""
    clip, stream, video = find_clip("carphone"), tmp_path / "a.rq", tmp_path / "a.y4m"
    told = run("encode", clip, stream, "--frames", f"0:{FRAMES}", "--json", "-f", *options)
    run("decode", stream, video, "-f", "--quiet")
    with Reader(str(clip), slice(0, FRAMES)) as a, Reader(str(video)) as b:
        values = [psnr(p, q)[0] for p, q in zip(a, b, strict=True)]
    result = json.loads(told)
    assert result["bytes"] == stream.stat().st_size
    return result, sum(values) / FRAMES


def test_quality_grows_with_the_index_and_so_do_bytes(tmp_path: Path) -> None:
    points = [code(tmp_path, "-q", q, "--roi", "none") for q in (0, 24, 48, 63)]
    bits = [float(told["bytes"]) for told, _ in points]  # type: ignore[arg-type]
    values = [value for _, value in points]
    assert all(a < b for a, b in pairwise(bits))
    assert all(a + 1 < b for a, b in pairwise(values))
    assert values[0] > 27
    assert values[-1] > 40


@pytest.mark.parametrize(
    "options", [("--roi", "auto"), ("--roi", "48,32,64,64", "--candidates", "0,8,16")]
)
def test_info_adds_up_to_the_file(tmp_path: Path, options: tuple[str, ...]) -> None:
    code(tmp_path, *options)
    found = json.loads(run("info", tmp_path / "a.rq", "--json", "--frames"))
    size = (tmp_path / "a.rq").stat().st_size
    assert sum(found["totals"]["bytes_by_part"].values()) == found["totals"]["bytes"] == size
    assert [f["type"] for f in found["frames"]] == ["intra"] + ["inter"] * (FRAMES - 1)
    assert all(f["bit_ops"] > 0 for f in found["frames"])


def test_a_clip_with_sound_goes_through_mp4(tmp_path: Path) -> None:
    """Every packet of the sound comes back as it was, every frame at its time."""
    clip, stream, back = find_clip("bikes"), tmp_path / "a.rq", tmp_path / "a.mp4"
    small = tmp_path / "small.mp4"
    _with_sound(clip, small)
    run("encode", small, stream, "-q", 8, "--quiet")
    run("decode", stream, back, "--quiet")

    def content(path: Path) -> tuple[list[object], list[bytes]]:
        with av.open(str(path)) as file:
            times = [
                f.pts * f.time_base
                for f in file.decode(video=0)
                if f.pts is not None and f.time_base
            ]
        with av.open(str(path)) as file:
            return list(times), [bytes(p) for p in file.demux(audio=0) if p.size]

    assert content(back) == content(small)
    assert len(content(small)[1]) > 2


def _with_sound(source: Path, target: Path) -> None:
    """Four frames of a clip, scaled down, with a tone."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        video = out.add_stream("libx264", 25)
        video.width, video.height = 96, 64
        sound = out.add_stream("aac", 44100)
        for number, frame in enumerate(clip.decode(video=0)):
            if number == 4:
                break
            small = frame.reformat(96, 64, "yuv420p")
            small.pts, small.time_base = number, Fraction(1, 25)
            out.mux(video.encode(small))
        out.mux(video.encode(None))
        tone = np.sin(np.arange(4 * 1764) * 0.06).astype(np.float32)[None] * 0.3
        wave = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
        wave.sample_rate = 44100
        out.mux(sound.encode(wave))
        out.mux(sound.encode(None))


def test_released_files_are_small_and_whole() -> None:
    arrays = load_arrays()
    assert sum(a.nbytes for network in arrays.values() for a in network.values()) < 12_000_000
    assert load_model().id == model_id(arrays)
