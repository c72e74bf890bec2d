"""``roicodec encode``: what of a source is encoded, and how its pictures are changed."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import roicodec
from roicodec.media import Reader, VideoInfo, Writer
from roicodec.media.filters import Filters
from roicodec.media.track_choice import TrackChoice
from roicodec.picture import Picture
from tests.cli.command_line import Run
from tests.media_clips import add_audio, mux_text, read

RATE, COUNT = 25, 50
WIDTH, HEIGHT = 64, 48


def gray(number: int) -> int:
    return 20 + 4 * number


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s of pictures of one level each; two sounds and a subtitle."""
    path = tmp_path_factory.mktemp("encode") / "source.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=RATE)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sounds = [out.add_stream(codec, rate=48000) for codec in ("pcm_s16le", "flac")]
        texts = out.add_mux_stream("subrip")
        packets = []
        for number in range(COUNT):
            samples = np.full((HEIGHT * 3 // 2, WIDTH), gray(number), np.uint8)
            frame = av.VideoFrame.from_ndarray(samples, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            packets += video.encode(frame)
        packets += video.encode(None)
        for sound in sounds:
            assert isinstance(sound, av.AudioStream)
            packets += add_audio(sound, COUNT / RATE)
        packets.sort(key=lambda p: (p.dts or 0) * p.time_base)
        mux_text(out, texts, b"seen", 500, 1000)
        out.mux(packets)
    return path


def encoded(run: Run, source: Path, *options: object) -> tuple[Reader, list[Picture], list[str]]:
    """What is in a stream: its description, pictures and codecs of other tracks."""
    done = run("encode", source, "a.rq", "-f", "--roi", "none", *options)
    assert done.status == 0, done.err
    done = run("decode", "a.rq", "a.mkv", "-f", "--codec", "ffv1")
    assert done.status == 0, done.err
    reader, shown, _ = read("a.mkv")
    return reader, shown, [track.codec for track in reader.extras.tracks]


# --- parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "first", "stop"),
    [
        (("-ss", "1", "-t", "0.2"), 25, 30),
        (("--start", "0:00.99", "--to", "1.04"), 25, 26),
        (("--to", "0.1"), 0, 3),
        (("--start", "1.5"), 38, 50),
        (("--frames", "10:40", "--start", "1.4"), 35, 40),
    ],
)
def test_parts_by_time(
    run: Run, source: Path, options: tuple[str, ...], first: int, stop: int
) -> None:
    _, shown, _ = encoded(run, source, *options)
    assert [int(p.y[0, 0]) for p in shown] == [gray(n) for n in range(first, stop)]
    assert shown[0].pts == 0
    with av.open("a.mkv") as file:
        seconds = sum(f.samples for f in file.decode(audio=0)) / 48000
    assert seconds == pytest.approx((stop - first) / RATE, abs=0.1)


def test_the_length_of_a_part_is_known(run: Run, source: Path) -> None:
    """To the rate controller, too."""
    with Reader(source, slice(5, 20)) as reader:
        assert reader.frame_count == 15
    done = run("encode", source, "a.rq", "--start", "1", "--json", "--roi", "none")
    assert json.loads(done.out)["frames"] == 25


def test_a_part_that_is_not_there(run: Run, source: Path) -> None:
    assert "has no picture from 3 s" in run("encode", source, "a.rq", "--start", "3").error


# --- pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (("--scale", "32:24"), (32, 24)),
        (("--scale", "24p"), (32, 24)),
        (("--scale", "-1:36"), (48, 36)),
        (("--scale", "96:-2"), (96, 72)),
        (("--crop", "40:30"), (40, 30)),
        (("--crop", "40:30:2:4", "--scale", "20:-1"), (20, 16)),
        (("--crop", "33:17:31:31"), (33, 17)),
    ],
)
def test_sizes(run: Run, source: Path, options: tuple[str, ...], size: tuple[int, int]) -> None:
    reader, shown, _ = encoded(run, source, "--frames", ":4", *options)
    assert (reader.info.width, reader.info.height) == size
    assert [int(p.y[8, 8]) for p in shown] == [gray(n) for n in range(4)]
    assert reader.info.sample_aspect_ratio in (0, 1)


def test_a_crop_is_where_it_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(16, 236, (48, 64), np.uint8)
    u, v = rng.integers(16, 240, (2, 24, 32), np.uint8)
    with Writer(tmp_path / "a.y4m", VideoInfo(64, 48, Fraction(1, 25), Fraction(25))) as writer:
        writer.write(Picture(y, u, v, 0, 1))
    with Reader(tmp_path / "a.y4m", filters=Filters.of(crop="32:20:8:6")) as reader:
        (picture,) = reader
    np.testing.assert_array_equal(picture.y, y[6:26, 8:40])
    np.testing.assert_array_equal(picture.u, u[3:13, 4:20])
    with Reader(tmp_path / "a.y4m", filters=Filters.of(crop="32x20")) as reader:
        (picture,) = reader
    np.testing.assert_array_equal(picture.y, y[14:34, 16:48])


def test_another_shape_is_told_by_the_samples_aspect(tmp_path: Path, source: Path) -> None:
    with Reader(source, filters=Filters.of(scale="64:24")) as reader:
        assert reader.info.sample_aspect_ratio == Fraction(1, 2)
    with Reader(source, filters=Filters.of(scale="-1:22")) as reader:  # 30:22, not 29.33:22
        assert reader.info.sample_aspect_ratio in (0, 1)


@pytest.mark.parametrize(
    ("rate", "numbers"),
    [("12.5", range(0, 50, 2)), ("50", [n // 2 for n in range(100)]), ("25/2", range(0, 50, 2))],
)
def test_frame_rates(run: Run, source: Path, rate: str, numbers: list[int]) -> None:
    reader, shown, _ = encoded(run, source, "--fps", rate)
    found = [int(p.y[0, 0]) for p in shown]
    wanted = [gray(n) for n in numbers]
    assert len(found) == len(wanted)
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= 4  # a picture beside
    step = 1 / Fraction(rate)
    times = [p.pts * reader.info.time_base for p in shown]
    assert times == [pytest.approx(n * step, abs=0.001) for n in range(len(shown))]
    with Reader(source, filters=Filters.of(fps=rate)) as expected:
        assert expected.frame_count == len(wanted)
        assert expected.info.frame_rate == Fraction(rate)


def test_frame_rates_of_sources_without_times(tmp_path: Path) -> None:
    """Raw H.264 has none; FFmpeg's filter needs them."""
    path = tmp_path / "a.h264"
    with av.open(str(path), "w", format="h264") as out:
        video = out.add_stream("libx264", rate=25)
        assert isinstance(video, av.VideoStream)
        video.width, video.height = 64, 48
        for _ in range(10):
            out.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(video.encode(None))
    with Reader(path, filters=Filters.of(fps=5)) as reader:
        assert [p.pts for p in reader] == [0, 1]


def test_deinterlacing(run: Run, tmp_path: Path) -> None:
    """Fields of a flickering level, which are stripes together, become one level."""
    info = VideoInfo(64, 48, Fraction(1, 25), Fraction(25), field_order="tt")
    y = np.zeros((2, 48, 64), np.uint8)
    y[0, ::2] = y[1, 1::2] = 60
    y[1, ::2] = y[0, 1::2] = 180
    flat = np.full((24, 32), 128, np.uint8)
    with Writer(tmp_path / "i.mkv", info, codec="ffv1") as writer:
        for number in range(6):
            writer.write(Picture(y[number % 2], flat, flat, number, 1))
    reader, shown, _ = encoded(run, tmp_path / "i.mkv", "--deinterlace")
    assert reader.info.field_order == ""
    assert len(shown) == 6
    assert np.ptp(shown[3].y[8:-8].astype(int)) < 10
    reader, shown, _ = encoded(run, tmp_path / "i.mkv")
    assert reader.info.field_order == "tt"
    np.testing.assert_array_equal(shown[3].y, y[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scale", "720"), "give W:H, -1:H or W:-1"),
        (("--scale", "-1:-1"), "give W:H, -1:H or W:-1"),
        (("--scale", "8:8"), "picture size 8x8 is not supported"),
        (("--crop", "64"), "give W:H, or W:H:X:Y"),
        (("--crop", "640:480"), "cannot be changed so: crop"),
        (("--fps", "0"), "give frames a second"),
        (("--fps", "x"), "give frames a second"),
    ],
)
def test_changes_that_cannot_be(
    run: Run, source: Path, options: tuple[str, ...], message: str
) -> None:
    done = run("encode", source, "a.rq", *options)
    assert done.status == 1
    assert message in done.error
    assert not Path("a.rq").exists()


# --- tracks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "codecs"),
    [
        ((), ["pcm_s16le", "flac", "subrip"]),
        (("-an",), ["subrip"]),
        (("-sn",), ["pcm_s16le", "flac"]),
        (("-an", "-sn"), []),
        (("--map", "a:1"), ["flac"]),
        (("--map", "v", "--map", "0:a:0", "--map", "s"), ["pcm_s16le", "subrip"]),
        (("--map", "-a:0"), ["flac", "subrip"]),
        (("--map", "0:2"), ["flac"]),
        (("--map", "a", "-sn"), ["pcm_s16le", "flac"]),
    ],
)
def test_tracks(run: Run, source: Path, options: tuple[str, ...], codecs: list[str]) -> None:
    _, shown, found = encoded(run, source, "--frames", ":15", *options)
    assert found == codecs
    assert len(shown) == 15


@pytest.mark.parametrize(
    ("specifier", "message"),
    [
        ("v:1", "has no such video track"),
        ("-v", "all its video tracks are left out"),
        ("x", "give v, a, s or t"),
        ("a:b", "give v, a, s or t"),
    ],
)
def test_tracks_that_are_not_there(run: Run, source: Path, specifier: str, message: str) -> None:
    assert message in run("encode", source, "a.rq", "--map", specifier).error


def test_the_video_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        for size in (64, 32):
            video = out.add_stream("ffv1", rate=25)
            assert isinstance(video, av.VideoStream)
            video.width, video.height, video.pix_fmt = size, size, "yuv420p"
        for video in out.streams.video:
            frame = av.VideoFrame(video.width, video.height, "yuv420p")
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            out.mux([*video.encode(frame), *video.encode(None)])

    def width(*tracks: str) -> int:
        with Reader(path, tracks=TrackChoice.of(tracks)) as reader:
            return reader.info.width

    assert [width(), width("v:1"), width("0:1"), width("-v:0")] == [64, 32, 32, 32]


# --- presets --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "effort"),
    [
        ((), 5),
        (("--preset", "fast"), 1),
        (("--preset", "medium"), 5),
        (("--preset", "slow"), 7),
        (("--preset", "best"), 9),
        (("--effort", "3"), 3),
    ],
)
def test_presets(run: Run, source: Path, options: tuple[str, ...], effort: int) -> None:
    done = run("encode", source, "a.rq", "--frames", ":1", "--roi", "none", "--json", *options)
    assert json.loads(done.out)["effort"] == effort


def test_a_preset_is_an_effort(run: Run, source: Path) -> None:
    done = run("encode", source, "a.rq", "--preset", "fast", "--effort", "1")
    assert (done.status, "exclude each other" in done.error) == (2, True)


def test_the_library_takes_the_same(tmp_path: Path, source: Path) -> None:
    for options, error in (
        ({"scale": "no"}, "scale"),
        ({"start": 3, "end": 2}, "nothing lies between"),
        ({"tracks": ["q"]}, "track 'q'"),
    ):
        with pytest.raises(roicodec.InputError, match=error):
            roicodec.encode(source, tmp_path / "a.rq", **options)


# --- quality over time ----------------------------------------------------------------------


def test_options_of_rate_reach_the_encoder(run: Run, source: Path) -> None:
    options = ("--zones", "0:01,1.5,q=50,roi=0,0,16,16", "--zones", "0,0.4,roi=none")
    done = run(
        *("encode", source, "a.rq", "--json", "--maxrate", "2M", "--bufsize", "500k"),
        *("--roi", "32,0,16,16", *options),
    )
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert (found["max_rate"], found["buffer_bits"], len(found["zones"])) == (2e6, 5e5, 2)
    frames = json.loads(run("info", "a.rq", "--json", "--frames").out)["frames"]
    assert [f["roi_share"] for f in frames] == [*[0] * 10, *[1 / 12] * 40]
    done = run("encode", source, "b.rq", "--json", "--target-roi-psnr", "40", "--roi", "none")
    assert json.loads(done.out)["target_roi_psnr"] == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target-roi-psnr", "40", "-q", "3"), "exclude each other"),
        (("--bufsize", "1M"), "--bufsize is for --maxrate"),
        (("--zones", "2,1,q=3"), "the end lies after the start"),
        (("--zones", "1,2,x=3"), "give start,end,q=0..63"),
        (("--zones", "1,2"), "give start,end"),
        (("--zones", "1,2,q=3", "--target-psnr", "40"), "zones change the quality index"),
    ],
)
def test_options_of_rate_that_cannot_be(
    run: Run, source: Path, options: tuple[str, ...], message: str
) -> None:
    done = run("encode", source, "a.rq", *options)
    assert done.status in (1, 2)
    assert message in done.error
