"""Zones, the PSNR of the ROI as a goal, and the buffer."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import roicodec
from roicodec.bitstream.constants import INTER, INTRA
from roicodec.bitstream.masks import samples_of
from roicodec.encoder.buffer_control import BufferControl
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.rate_control import ConstantQuality
from roicodec.encoder.roi.sources import RectangleRoi
from roicodec.encoder.zones import Zone, zone_at
from roicodec.errors import InputError
from roicodec.media import Reader, VideoInfo, Writer
from roicodec.psnr import psnr_regions
from tests import tiny_model

SECOND = Fraction(1)
OPTIONS = roicodec.EncoderOptions(quality=30, effort=1, structure="low-delay", candidates=(8,))


@pytest.fixture(scope="module", autouse=True)
def _weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("weights")
    tiny_model.save(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROICODEC_WEIGHTS", str(folder))
        yield


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zones") / "clip.y4m"
    with Writer(path, VideoInfo(64, 48, Fraction(1, 10), Fraction(10))) as writer:
        for picture in tiny_model.pictures(64, 48, 12):
            writer.write(picture)
    return path


def decoded(
    clip: Path, options: roicodec.EncoderOptions, roi: str
) -> list[roicodec.DecodedPicture]:
    out = io.BytesIO()
    roicodec.encode(clip, out, options, roi=roi)
    out.seek(0)
    with roicodec.open(out) as video:
        return list(video)


# --- zones ----------------------------------------------------------------------------------


def test_zones_change_quality_and_roi(clip: Path) -> None:
    zones = (
        Zone(Fraction(3, 10), Fraction(6, 10), quality=50),
        Zone(Fraction(5, 10), Fraction(8, 10), quality=10, roi="0,0,16,16"),
        Zone(Fraction(9, 10), SECOND, roi="none"),
    )
    plain = decoded(clip, OPTIONS, "16,16,16,16")
    found = decoded(clip, replace(OPTIONS, zones=zones), "16,16,16,16")
    shifts = [p.quality - q.quality for p, q in zip(found, plain, strict=True)]
    assert shifts == [0, 0, 0, 20, 20, -20, -20, -20, 0, 0, 0, 0]
    places = [[tuple(map(int, at)) for at in np.argwhere(p.mask)] for p in found]
    assert places == [*[[(1, 1)]] * 5, *[[(0, 0)]] * 3, [(1, 1)], [], *[[(1, 1)]] * 2]


@pytest.mark.parametrize(
    ("text", "quality", "roi"),
    [
        ("q=50", 50, None),
        ("roi=none", None, "none"),
        ("roi=1,2,30,40,q=7", 7, "1,2,30,40"),
        ("q=0,roi=1,2,30,40", 0, "1,2,30,40"),
        ("roi=1,2,30,40,strength=1.5,q=3", 3, "1,2,30,40"),
    ],
)
def test_zones_from_text(text: str, quality: int | None, roi: str | None) -> None:
    strength = 1.5 if "strength" in text else None
    assert Zone.of(text, [SECOND, 2 * SECOND]) == Zone(SECOND, 2 * SECOND, quality, roi, strength)


@pytest.mark.parametrize(
    "text", ["", "q", "q=64", "q=x", "strength=2.1", "strength=x", "q=1,q=2", "q=1,2"]
)
def test_zones_that_cannot_be(text: str) -> None:
    with pytest.raises(InputError, match="zone"):
        Zone.of(text, [SECOND, 2 * SECOND])


def test_a_zones_strength_sets_roi_and_rest_apart() -> None:
    options = replace(
        OPTIONS, candidates=(8, 16), zones=(Zone(SECOND, 2 * SECOND, strength=0.0),), gop=4,
        time_base=SECOND,
    )  # fmt: skip
    roi = RectangleRoi((16, 16, 32, 16), (64, 48))
    encoder = FrameEncoder(64, 48, options, roi, tiny_model.model())
    frames = [f for p in [*tiny_model.pictures(64, 48, 3), None] for f in encoder.encode(p)]
    chosen = [frame.setting for frame in frames]
    assert {(s.b_roi, s.b_bg) for s in chosen} == {(16, 8)}
    inside, between, behind = (s.offsets for s in chosen)
    assert inside is behind is None
    assert between is not None
    assert (between[chosen[1].mask] == -8).all()
    assert not between[~chosen[1].mask].any()


def test_of_several_zones_the_last_counts() -> None:
    one, other = Zone(SECOND, 3 * SECOND, 1), Zone(2 * SECOND, 4 * SECOND, 2)
    times = [Fraction(t, 2) for t in range(1, 9)]
    found = [zone_at((one, other), time) for time in times]
    assert found == [None, one, one, other, other, other, other, None]


def test_zones_need_a_constant_quality() -> None:
    zone = Zone(SECOND, 2 * SECOND, 5)
    with pytest.raises(InputError, match="zones change the quality"):
        roicodec.EncoderOptions(psnr=40, zones=(zone,))
    roicodec.EncoderOptions(psnr=40, zones=(Zone(SECOND, 2 * SECOND, roi="none"),))


# --- goals ----------------------------------------------------------------------------------


def test_the_psnr_of_the_roi_is_a_goal(clip: Path) -> None:
    options = replace(OPTIONS, candidates=(4, 16), roi_strength=2.0, roi_psnr=33)
    found = decoded(clip, options, "16,16,32,16")
    with Reader(clip) as reader:
        originals = list(reader)
    regions = [
        psnr_regions(a, b.picture, samples_of(b.mask, 64, 48))
        for a, b in zip(originals, found, strict=True)
    ]
    inside = float(np.mean([r.roi_yuv for r in regions]))
    assert inside == pytest.approx(33, abs=0.8)
    assert np.mean([r.background_yuv for r in regions]) < inside - 0.3


def coded(
    control: BufferControl, bits: Callable[[int, int], float], frames: int, size: float, rate: float
) -> tuple[list[int], float]:
    """Qualities of frames whose bits depend on number and quality, and the most that was held."""
    held = most = 0.0
    qualities = []
    for number in range(frames):
        kind = INTRA if number == 0 else INTER
        quality = control.quality(kind)
        used = bits(number, quality)
        control.coded(kind, quality, int(used), lambda: 30.0)
        held = max(held + used - rate, 0)
        most = max(most, held)
        qualities.append(quality)
    return qualities, most


def test_a_buffer_holds_what_a_hard_scene_needs() -> None:
    """Frames 40 to 79 need four times the bits."""

    def bits(number: int, quality: int) -> float:
        hard = 4 if 40 <= number < 80 else 1
        return 2000 * hard * 2 ** ((quality - 40) / 10)

    rate, size = 3000.0, 30_000.0
    control = BufferControl(ConstantQuality(40), rate, size, 6000)
    qualities, most = coded(control, bits, 120, size, rate)
    assert most <= size
    assert control.missed() == ""
    assert set(qualities[10:40]) == {40}
    assert qualities[79] == pytest.approx(40 + 10 * np.log2(3000 / 8000), abs=2)
    assert set(qualities[100:]) == {40}


def test_what_no_quality_can_keep_is_told() -> None:
    control = BufferControl(ConstantQuality(40), 10.0, 100.0, 6000)
    qualities, most = coded(control, lambda number, quality: 1000, 5, 100, 10)
    assert qualities[-1] == 0
    assert most > 100
    assert "the buffer was exceeded 5 times, at most by 4850%" in control.missed()


def test_a_stream_keeps_its_maximum_rate(clip: Path) -> None:
    free = decoded(clip, OPTIONS, "none")
    tight = decoded(clip, replace(OPTIONS, max_rate=8000, buffer_bits=8000), "none")
    assert max(p.quality for p in tight[1:]) < min(p.quality for p in free[1:])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"psnr": 30, "roi_psnr": 30}, "give one of them"),
        ({"buffer_bits": 1000}, "is for max_rate"),
        ({"max_rate": 0}, "give a number above 0"),
    ],
)
def test_options_that_cannot_be(fields: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        roicodec.EncoderOptions(**fields)  # type: ignore[arg-type]
