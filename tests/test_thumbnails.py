"""Thumbnails: which picture, turned and scaled as a player shows it; the command."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import roicodec
from roicodec.bitstream.header import Header
from roicodec.thumbnails import quarter_turns, shown_rgb
from tests.cli.command_line import Run
from tests.cli.running import y4m

GOLDEN = Path(__file__).parent / "golden"
CARPHONE = GOLDEN / "carphone.rq"


@pytest.fixture(scope="module")
def pictures() -> list[roicodec.DecodedPicture]:
    with roicodec.open(CARPHONE) as video:
        return list(video)


@pytest.fixture(scope="module")
def header() -> Header:
    with roicodec.open(CARPHONE) as video:
        assert video.intra_frames() == [(0, 0), (3, pytest.approx(0.1, abs=0.01))]
        assert video.header.sample_aspect_ratio == Fraction(128, 117)
        return dataclasses.replace(video.header, sample_aspect_ratio=Fraction(1))


def shown(picture: roicodec.DecodedPicture) -> NDArray[np.uint8]:
    """A picture of :data:`CARPHONE` as it is shown."""
    with roicodec.open(CARPHONE) as video:
        return shown_rgb(picture, video.header)


@pytest.mark.parametrize(
    ("at", "number"), [(None, 0), (0, 0), (Fraction(2, 29), 2), (0.09, 2), (7, 3)]
)
def test_the_picture_of_a_time(
    pictures: list[roicodec.DecodedPicture], at: float | None, number: int
) -> None:
    rgb = roicodec.thumbnail(CARPHONE, at=at)
    assert rgb.dtype == np.uint8
    assert rgb.shape == (144, 193, 3)
    errors = [np.abs(shown(p) - rgb.astype(int)).mean() for p in pictures]
    assert errors[number] == 0
    assert [error > 0 for error in errors] == [n != number for n in range(len(pictures))]


@pytest.mark.parametrize("rotation", [0, 90, 180, -90, 45])
def test_turned_as_a_player_turns_it(
    pictures: list[roicodec.DecodedPicture], header: Header, rotation: int
) -> None:
    turned = dataclasses.replace(header, rotation=rotation)
    rgb, plain = shown_rgb(pictures[0], turned), pictures[0].to_rgb()
    expected = {90: plain.transpose(1, 0, 2)[::-1], -90: plain[::-1].transpose(1, 0, 2)}
    expected[180] = plain[::-1, ::-1]
    assert np.array_equal(rgb, expected.get(rotation, plain))
    assert quarter_turns(rotation) == {90: 1, 180: 2, -90: 3}.get(rotation, 0)


def test_samples_are_square_and_the_width_is_that_of_the_result(
    pictures: list[roicodec.DecodedPicture], header: Header
) -> None:
    wide = dataclasses.replace(header, sample_aspect_ratio=Fraction(2))
    assert shown_rgb(pictures[0], wide).shape == (144, 352, 3)
    assert shown_rgb(pictures[0], wide, 88).shape == (36, 88, 3)
    turned = dataclasses.replace(wide, rotation=90)
    assert shown_rgb(pictures[0], turned, 72).shape == (176, 72, 3)
    small = shown_rgb(pictures[0], header, 88)
    means = pictures[0].to_rgb().reshape(72, 2, 88, 2, 3).mean((1, 3))
    assert np.abs(small - means).max() <= 1


@pytest.mark.parametrize(("suffix", "most"), [("png", 0), ("jpg", 12), ("webp", 12)])
def test_files(tmp_path: Path, suffix: str, most: float) -> None:
    out = tmp_path / f"a.{suffix}"
    rgb = roicodec.thumbnail(CARPHONE, out)
    image = cv2.imread(str(out))
    assert image is not None
    assert np.abs(image[:, :, ::-1].astype(int) - rgb).mean() <= most


def test_arguments_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(roicodec.InputError, match=r"call it \.png, \.jpg or \.webp"):
        roicodec.thumbnail(CARPHONE, tmp_path / "a.gif")
    with pytest.raises(roicodec.InputError, match="time -1"):
        roicodec.thumbnail(CARPHONE, at=-1)
    with pytest.raises(roicodec.InputError, match=r"width 8: give 16\.\.4096"):
        roicodec.thumbnail(CARPHONE, width=8)
    assert not list(tmp_path.iterdir())


def test_the_command(run: Run, tmp_path: Path) -> None:
    done = run("thumbnail", CARPHONE, "a.png", "--at", "0:00.07", "--width", 88, "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert (found["width"], found["height"], found["output"]) == (88, 66, "a.png")
    image = cv2.imread(str(tmp_path / "a.png"))
    expected = roicodec.thumbnail(CARPHONE, at=0.07, width=88)
    assert image is not None
    assert np.array_equal(image[:, :, ::-1], expected)
    assert "a.png exists" in run("thumbnail", CARPHONE, "a.png").error
    done = run("thumbnail", "-f", CARPHONE, "a.png")
    assert done.out == "a.png: 193x144\n"
    (tmp_path / "in.y4m").write_bytes(y4m(1))
    assert "not an .rq stream but a Y4M video" in run("thumbnail", "in.y4m", "b.png").error
    assert "cannot be sought" in run("thumbnail", "-", "b.png").error
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "in.y4m"}


@pytest.mark.parametrize("time", ["", "1:", "-1", "1:2:3:4", "1e3", "x", "1:-2"])
def test_times_that_are_none(run: Run, time: str) -> None:
    done = run("thumbnail", CARPHONE, "a.png", f"--at={time}")
    assert done.status == 2
    assert "give seconds, or h:m:s" in done.error


def test_times() -> None:
    from roicodec.cli.options import TIME

    for text, seconds in {
        "90": 90, "1:30": 90, "1:30.5": Fraction(181, 2), "1:02:03.25": Fraction(14893, 4),
        "0:90": 90, ".5": Fraction(1, 2), "3.": 3,
    }.items():  # fmt: skip
        assert TIME.convert(text, None, None) == seconds
