"""Where segments begin, and what each may cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roicodec.encoder.options import EncoderOptions
from roicodec.segments.plan import Segmenter, segment_rules
from roicodec.segments.planner import Planner, planned
from roicodec.segments.work import Work
from tests.segments.clips import GOP, scene, write_clip


def starts(scenes: list[int], options: EncoderOptions) -> list[int]:
    """Numbers of the frames with which segments begin, of scenes of so many frames."""
    segmenter = Segmenter(segment_rules(options))
    pictures = [p for seed, frames in enumerate(scenes) for p in scene(seed, frames)]
    return [number for number, picture in enumerate(pictures) if segmenter.starts(picture)]


@pytest.mark.parametrize(
    ("scenes", "gop", "expected"),
    [
        ([200], 16, [0, 64, 128, 192]),
        ([200], 96, [0, 96, 192]),
        ([70, 130], 16, [0, 64, 134, 198]),  # the cut is too near to the segment's start
        ([100, 100], 96, [0, 96, 196]),
        ([80, 100], 96, [0, 80, 176]),
        ([200], 1, [0, 64, 128, 192]),
    ],
)
def test_segments_begin_with_gops_and_scenes(
    scenes: list[int], gop: int, expected: list[int]
) -> None:
    assert starts(scenes, EncoderOptions(gop=gop)) == expected


def test_segments_that_keep_a_rate_are_long() -> None:
    assert starts([600], EncoderOptions(gop=96, psnr=40)) == [0, 288, 576]


def test_budgets_favour_what_is_hard_and_add_up(tmp_path: Path) -> None:
    easy, noise = scene(0, 300, 32, 16), scene(1, 300, 32, 16)
    rng = np.random.default_rng(0)
    for picture in noise:
        picture.y[:] = np.clip(picture.y + rng.normal(0, 25, picture.y.shape), 0, 255)
    path = write_clip(tmp_path / "a.y4m", easy + noise)
    work = Work(str(path), {}, EncoderOptions(gop=GOP, bit_rate=1e5), "none")
    with work.open() as reader:
        work = work.filled(reader)
    plan = planned(work, work.rules())
    assert [segment.start for segment in plan][:2] == [0, 288]
    rates = [segment.bit_rate or 0 for segment in plan]
    assert rates[-1] > 1.3 * rates[0]
    bits = sum(rate * segment.frames for rate, segment in zip(rates, plan, strict=True))
    assert bits == pytest.approx(1e5 * 600)


def test_a_plan_knows_its_pictures() -> None:
    options = EncoderOptions(gop=GOP)

    def crcs(changed: int | None) -> list[int]:
        planner = Planner(segment_rules(options))
        for number, picture in enumerate(scene(3, 150)):
            if number == changed:
                picture.u[0, 0] ^= 1
            planner.add(picture)
        planner.finish()
        return [segment.crc32 for segment in planner.segments]

    before, after = crcs(None), crcs(100)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
