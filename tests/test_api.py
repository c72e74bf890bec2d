"""The library's public face: names, pictures in and out, regions of interest, errors."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import roicodec
from roicodec.bitstream.feed import ChunkFeed
from roicodec.bitstream.masks import cells_of
from roicodec.media import VideoInfo, Writer
from roicodec.media.rgb import picture_from_rgb, rgb_from_picture
from tests import tiny_model

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT, COUNT = 64, 48, 7
OPTIONS = roicodec.EncoderOptions(
    quality=30, gop=3, effort=1, time_base=Fraction(1, 10), structure="low-delay"
)


@pytest.fixture(scope="module", autouse=True)
def _weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Networks that take no time."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_model.save(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROICODEC_WEIGHTS", str(folder))
        yield


@pytest.fixture(scope="module")
def pictures() -> list[roicodec.Picture]:
    return tiny_model.pictures(WIDTH, HEIGHT, COUNT)


def encoded(pictures: list[roicodec.Picture], roi: object = None) -> bytes:
    encoder = roicodec.Encoder(WIDTH, HEIGHT, OPTIONS, roi=roi)  # type: ignore[arg-type]
    return b"".join(piece for p in [*pictures, None] for piece in encoder.encode(p))


@pytest.fixture(scope="module")
def data(pictures: list[roicodec.Picture]) -> bytes:
    return encoded(pictures, roi=lambda p: p.y > 140)


# --- names ----------------------------------------------------------------------------------


def test_public_names_are_those_of_their_modules() -> None:
    for name in roicodec.__all__:
        value = getattr(roicodec, name)
        module = getattr(value, "__module__", "roicodec")
        assert module.startswith("roicodec"), name
        if name != "__version__":
            assert getattr(sys.modules[module], name) is value
    assert set(roicodec.__all__) <= set(dir(roicodec))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        roicodec.nothing  # noqa: B018


def test_what_type_checkers_see_is_what_is_exported() -> None:
    tree = ast.parse((ROOT / "roicodec" / "__init__.py").read_text())
    seen = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("roicodec")
        for alias in node.names
    }
    assert seen | {"__version__"} == set(roicodec.__all__)


def test_importing_is_light() -> None:
    code = "import sys, roicodec; print([m for m in ('numpy', 'torch', 'av') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


# --- pictures -------------------------------------------------------------------------------


def test_pushed_pictures_come_back(pictures: list[roicodec.Picture], data: bytes) -> None:
    decoder = roicodec.Decoder()
    found: list[roicodec.DecodedPicture] = []
    for start in range(0, len(data), 700):
        found += decoder.decode(data[start : start + 700])
    found += decoder.decode(None)
    assert decoder.header is not None
    assert [p.number for p in found] == list(range(COUNT))
    assert [p.kind for p in found] == ["intra", "inter", "inter"] * 2 + ["intra"]
    for picture, original in zip(found, pictures, strict=True):
        assert picture.time == pytest.approx(original.pts / 10)
        assert np.abs(picture.y.astype(int) - original.y).mean() < 12
        assert np.array_equal(picture.mask, cells_of(original.y > 140))
        assert {picture.b_roi, picture.b_bg} <= {4, 8, 16}
        assert picture.to_rgb().shape == (HEIGHT, WIDTH, 3)


def test_a_stream_is_a_sequence(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.rq"
    path.write_bytes(data)
    with roicodec.open(path) as video:
        assert (len(video), video.width, video.height) == (COUNT, WIDTH, HEIGHT)
        assert video.time_base == Fraction(1, 10)
        assert video.frame_rate == OPTIONS.frame_rate
        every = list(video)
        for number in (5, 0, 1, 6, -1, 2):
            assert_same(video[number], every[number])
        assert [p.number for p in video[1:5:3]] == [1, 4]
        for seconds, number in ((0.0, 0), (0.45, 4), (99.0, COUNT - 1), (-1.0, 0)):
            video.seek(seconds)
            picture = video.read()
            assert picture is not None
            assert_same(picture, every[number])
        assert [p.number for p in video] == [1, 2, 3, 4, 5, 6]
        with pytest.raises(IndexError):
            video[COUNT]
    with roicodec.open(io.BytesIO(data)) as video:
        assert_same(next(iter(video)), every[0])


def assert_same(one: roicodec.DecodedPicture, other: roicodec.DecodedPicture) -> None:
    assert one.number == other.number
    for a, b in zip(one.picture.planes, other.picture.planes, strict=True):
        assert np.array_equal(a, b)


def test_rgb_there_and_back() -> None:
    ramp = np.linspace(30, 220, 64).astype(np.uint8)
    rgb = np.stack(np.broadcast_arrays(ramp[None], ramp[:48, None], np.uint8(90)), 2)
    for matrix in (2, 6):
        picture = picture_from_rgb(rgb, pts=7, duration=2)
        assert (picture.pts, picture.duration) == (7, 2)
        back = rgb_from_picture(picture, matrix)
        assert np.abs(back.astype(int) - rgb).mean() < 3
    white = picture_from_rgb(np.full((32, 32, 3), 255, np.uint8))
    assert abs(int(white.y[9, 9]) - 235) <= 1
    assert rgb_from_picture(white, 1, 2).max() < 240


# --- regions of interest --------------------------------------------------------------------


def test_a_roi_is_a_text_an_array_or_a_function(
    pictures: list[roicodec.Picture], tmp_path: Path
) -> None:
    samples = np.zeros((HEIGHT, WIDTH), bool)
    samples[16:32, 0:32] = True
    np.save(tmp_path / "mask.npy", samples)
    clip = pictures[:2]
    given: list[object] = [
        "0,16,32,16",
        tmp_path / "mask.npy",
        samples,
        cells_of(samples),
        np.stack([samples] * 2),
        lambda picture: samples,
        ["0,16,16,16", lambda picture: cells_of(samples)],
    ]
    streams = {encoded(clip, roi) for roi in given}
    assert len(streams) == 1
    assert streams != {encoded(clip)}


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        (np.zeros((3, 3), bool), r"shape \[3, 3\]; it must be \[48, 64\]"),
        (np.zeros((1, HEIGHT, WIDTH), bool), "has 1 masks, the video more"),
        (lambda picture: np.zeros((1, 2)), r"function gave a mask of shape \[1, 2\]"),
        ("nowhere.png", "nowhere.png"),
    ],
)
def test_a_roi_that_does_not_fit(
    pictures: list[roicodec.Picture], roi: object, message: str
) -> None:
    with pytest.raises(roicodec.InputError, match=message) as caught:
        encoded(pictures[:2], roi)
    assert caught.value.parameter in ("roi", None)


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quality", 64), ("gop", 0), ("effort", 10), ("roi_strength", 2.5), ("complexity", -1),
        ("bit_rate", 0), ("psnr", -3), ("frames", 0), ("candidates", ()), ("candidates", (8, 8)),
    ],
)  # fmt: skip
def test_options_are_checked_when_they_are_made(field: str, value: object) -> None:
    with pytest.raises(roicodec.InputError, match=field):
        roicodec.EncoderOptions(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [0, 5005])
def test_seeking_the_time_of_a_picture_gives_this_picture(
    pictures: list[roicodec.Picture], first: int
) -> None:
    """Also where the time is rounded down, as of frames 3 and 6 at 29.97 frames a second."""
    options = replace(OPTIONS, gop=4, time_base=Fraction(1, 30000))
    encoder = roicodec.Encoder(WIDTH, HEIGHT, options, roi=None)
    timed = [replace(p, pts=first + 1001 * p.pts, duration=1001) for p in pictures]
    stream = b"".join(piece for p in [*timed, None] for piece in encoder.encode(p))
    with roicodec.open(io.BytesIO(stream)) as video:
        times = [(p.number, p.time) for p in video]
        for number, seconds in reversed(times):
            for at in (seconds, Fraction(first + 1001 * number, 30000), seconds + 0.01):
                video.seek(at)
                assert (found := video.read()) is not None
                assert found.number == number


def test_limits_on_pixels_and_frames(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.rq"
    path.write_bytes(data)
    enough = {"max_pixels": WIDTH * HEIGHT, "max_frames": COUNT}
    message = f"{WIDTH * HEIGHT} pixels, more than the limit of {WIDTH * HEIGHT - 1}"
    small = {"max_pixels": WIDTH * HEIGHT - 1}
    for call in (
        lambda **limits: roicodec.open(path, **limits),
        lambda **limits: roicodec.info(path, **limits),
        lambda **limits: roicodec.decode(path, tmp_path / "a.y4m", **limits),
        lambda **limits: roicodec.Decoder(**limits).decode(data),
    ):
        call(**enough)
        with pytest.raises(roicodec.StreamError, match=message):
            call(**small)
    with roicodec.open(path, errors="skip", max_frames=3) as video:
        assert [picture.number for picture in video] == [0, 1, 2]
        assert "frame 3 is beyond the limit of 3 frames" in video.damages[0]
    assert len(roicodec.info(path, max_frames=3).frame_list) == 3
    assert roicodec.decode(path, tmp_path / "b.y4m", max_frames=3).frames == 3
    with pytest.raises(roicodec.StreamError, match="frame 3 is beyond the limit") as caught:
        roicodec.Decoder(max_frames=3).decode(data)
    assert caught.value.frame == 3


def test_a_damage_says_where(data: bytes, tmp_path: Path) -> None:
    frames = [p.offset for p in ChunkFeed().feed(data) if p.type == "FRAM"]
    damaged = bytearray(data)
    damaged[frames[1] + 20] ^= 3
    path = tmp_path / "damaged.rq"
    path.write_bytes(damaged)
    with pytest.raises(roicodec.StreamError) as caught:
        list(roicodec.open(path))
    assert caught.value.path == str(path)
    assert caught.value.offset == frames[1]
    with pytest.raises(roicodec.StreamError) as caught:
        roicodec.Decoder().decode(bytes(damaged))
    assert caught.value.offset == frames[1]
    with roicodec.open(path, errors="skip") as video:
        assert [p.number for p in video] == [0, 3, 4, 5, 6]
        assert video.damages
    listing = roicodec.info(path)
    assert len(listing.frame_list) == COUNT - 1
    assert listing.damages


def test_what_is_no_stream(tmp_path: Path) -> None:
    path = tmp_path / "text.rq"
    path.write_bytes(b"no stream at all")
    with pytest.raises(roicodec.StreamError, match="not an") as caught:
        roicodec.open(path)
    assert caught.value.path == str(path)
    for call in (roicodec.open, roicodec.info):
        with pytest.raises(roicodec.InputError, match="cannot be opened"):
            call(tmp_path / "missing.rq")


def test_pictures_of_another_size_and_after_the_end(pictures: list[roicodec.Picture]) -> None:
    encoder = roicodec.Encoder(WIDTH, HEIGHT + 2, OPTIONS, roi="none")
    with pytest.raises(roicodec.InputError, match="frame 0 has 64x48"):
        encoder.encode(pictures[0])
    encoder.encode(None)
    with pytest.raises(roicodec.InputError, match="finished"):
        encoder.encode(None)


# --- files ----------------------------------------------------------------------------------


def test_files_there_and_back(pictures: list[roicodec.Picture], tmp_path: Path) -> None:
    clip, stream, back = (tmp_path / name for name in ("in.y4m", "a.rq", "out.y4m"))
    with Writer(str(clip), VideoInfo(WIDTH, HEIGHT, Fraction(1, 10), Fraction(10))) as writer:
        for picture in pictures:
            writer.write(picture)
    report = roicodec.encode(clip, stream, OPTIONS, roi=lambda picture: picture.y > 140)
    assert report.frames == COUNT
    memory = io.BytesIO()
    roicodec.encode(clip, memory, OPTIONS, roi=lambda picture: picture.y > 140)
    assert memory.getvalue() == stream.read_bytes()
    assert roicodec.decode(stream, back).frames == COUNT
    listing = roicodec.info(stream)
    assert listing.totals.frames == COUNT
    assert listing.totals.bytes == stream.stat().st_size
    shares = [frame.roi_share for frame in listing.frame_list]
    assert all(share is not None and 0 < share <= 1 for share in shares)


@pytest.mark.parametrize("name", ["encode_arrays", "read_frames"])
def test_newcomers_scripts(name: str, tmp_path: Path) -> None:
    def run(script: str) -> str:
        command = [sys.executable, "-m", f"examples.{script}", str(tmp_path / "a.rq")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("encode_arrays")
    if name == "read_frames":
        lines = run(name).splitlines()
        assert lines[0] == "8 pictures of 96x64"
        assert len(lines) == 1 + 8 + 2
        assert "ROI 0%" not in "".join(lines[1:9])
