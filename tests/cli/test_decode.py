"""``roicodec decode``: parts, formats, overlay."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.encoder.roi.overlay import HEADER
from roicodec.media import Reader, Writer
from roicodec.media.rgb import rgb_from_picture
from roicodec.picture import Picture
from tests.cli.command_line import Run
from tests.cli.running import in_process_of_its_own, pictures
from tests.media_clips import add_audio, info, mux_text, read
from tests.media_clips import pictures as made

FRAMES, GOP, RATE = 300, 10, 25
"""Longer than packets are looked for before a GOP."""
SAMPLES = 48000


def gray(number: int) -> int:
    """Level of a picture, by which it is known again."""
    return 16 + 7 * (number % 29)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s of pictures of one level each, sound without loss, a subtitle from 1 to 9 s."""
    path = tmp_path_factory.mktemp("decode") / "source.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=RATE)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 32, 16, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=SAMPLES)
        assert isinstance(sound, av.AudioStream)
        texts = out.add_mux_stream("subrip")
        packets = []
        for number in range(FRAMES):
            samples = np.full((24, 32), gray(number), np.uint8)
            frame = av.VideoFrame.from_ndarray(samples, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            packets += video.encode(frame)
        packets += video.encode(None)
        packets += add_audio(sound, FRAMES / RATE)
        packets.sort(key=lambda p: (p.dts or 0) * p.time_base)
        mux_text(out, texts, b"seen", 1000, 8000)
        out.mux(packets)
    return path


@pytest.fixture
def stream(run: Run, source: Path, tmp_path: Path) -> Path:
    assert run("encode", source, "a.rq", "--gop", GOP, "--roi", "0,0,16,16").status == 0
    return tmp_path / "a.rq"


@pytest.fixture(scope="module")
def whole(source: Path) -> NDArray[np.int16]:
    return sound_of(source)[1]


def levels(shown: list[Picture]) -> list[int]:
    return [round(float(picture.y.mean())) for picture in shown]


def sound_of(path: Path) -> tuple[Fraction, NDArray[np.int16]]:
    """Time of the first sample, and the samples of the first channel."""
    with av.open(str(path)) as file:
        frames = list(file.decode(audio=0))
        first = Fraction(frames[0].pts or 0) * (frames[0].time_base or 0)
        arrays = [frame.to_ndarray() for frame in frames]
    return first, np.concatenate([a.reshape(-1, 2)[:, 0] for a in arrays])


@pytest.mark.parametrize(
    ("options", "first", "stop"),
    [
        (("--start", "10"), 250, 300),
        (("-ss", "0:10.01", "-t", "0.1"), 251, 253),
        (("--start", "10.02", "--to", "11"), 251, 275),
        (("--frames", "255:262"), 255, 262),
        (("--frames", "3:5"), 3, 5),
        (("--to", "0.04"), 0, 1),
        (("--duration", "0.2"), 0, 5),
        (("--frames", "100:280", "--start", "10.4", "--to", "11.9"), 260, 280),
    ],
)
def test_parts(
    run: Run,
    stream: Path,
    whole: NDArray[np.int16],
    options: tuple[str, ...],
    first: int,
    stop: int,
) -> None:
    """Accurate to the frame, with sound and subtitles cut to match, and not decoded from 0."""
    done = run("decode", stream, "part.mkv", "--codec", "ffv1", *options)
    assert done.status == 0, done.err
    reader, shown, packets = read("part.mkv")
    assert levels(shown) == [gray(n) for n in range(first, stop)]
    assert [p.pts * reader.info.time_base for p in shown] == [
        pytest.approx(n / RATE, abs=0.001) for n in range(stop - first)
    ]
    assert done.decoder is not None
    assert done.decoder.decoded[0] == first // GOP * GOP
    assert done.decoder.decoded[-1] <= stop + 1
    texts = [p for p in packets if reader.extras.tracks[p.track].kind == "subtitle"]
    assert len(texts) == (stop > 25 and first < 225)

    time, samples = sound_of(Path("part.mkv"))
    due = round((Fraction(first, RATE) + time) * SAMPLES)
    places = range(max(due - 50, 0), due + 50)  # Matroska counts milliseconds
    assert any(np.array_equal(samples, whole[k : k + len(samples)]) for k in places)
    assert abs(time) < 0.05
    assert len(samples) / SAMPLES == pytest.approx((stop - first) / RATE, abs=0.1)


@pytest.mark.parametrize("start", ["10", "10.1"])
def test_parts_of_a_stream_without_index(run: Run, stream: Path, start: str) -> None:
    """The GOPs before are read, but not decoded."""
    data = stream.read_bytes()
    stream.write_bytes(data[:-30])
    done = run("decode", stream, "part.y4m", "--start", start, "--frames", ":280")
    assert done.status == 0, done.err
    first = round(float(start) * RATE + 0.49)
    assert [frame[0] for frame in pictures(Path("part.y4m").read_bytes())] == [
        gray(n) for n in range(first, 280)
    ]
    assert done.decoder is not None
    assert done.decoder.decoded[0] == 250


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--start", "13"), "has no picture from 13 s to the end"),
        (("--start", "1.001", "--to", "1.002"), "has no picture from 1.001 s to 1.002 s"),
        (("--frames", "300:"), "has only 300 frames"),
        (("--start", "5", "--to", "4"), "nothing lies between 5 s and 4 s"),
        (("--to", "5", "--duration", "4"), "duration and end"),
        (("--start", "1:2:3:4"), "give seconds, or h:m:s"),
        (("--start", "-3"), "give seconds, or h:m:s"),
    ],
)
def test_parts_that_are_not_there(
    run: Run, stream: Path, options: tuple[str, ...], message: str
) -> None:
    done = run("decode", stream, "part.mkv", *options)
    assert done.status in (1, 2)
    assert message in done.error
    assert not Path("part.mkv").exists()


# --- formats --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "codec", "audio"),
    [
        ("a.webm", ("--audio-codec", "opus"), "vp9", "opus"),
        ("a.ts", ("--audio-codec", "aac"), "h264", "aac"),
        ("a.avi", (), "h264", "pcm_s16le"),
        ("a.avi", ("--codec", "mpeg4", "--audio-codec", "flac"), "mpeg4", "flac"),
        ("a.nut", ("--codec", "ffv1"), "ffv1", "pcm_s16le"),
        ("a.bin", ("--format", "matroska", "--codec", "ffv1"), "ffv1", "pcm_s16le"),
    ],
)
def test_containers(
    run: Run, stream: Path, name: str, options: tuple[str, ...], codec: str, audio: str
) -> None:
    done = run("decode", stream, name, "--frames", ":25", *options)
    assert done.status == 0, done.err
    with av.open(name) as file:
        video = file.streams.video[0]
        assert video.codec_context.codec.canonical_name == codec
        assert file.streams.audio[0].codec_context.codec.canonical_name == audio
        found = [(float(f.time or 0), f.to_ndarray()[:16].mean()) for f in file.decode(video)]
    start = found[0][0]
    assert [level for _, level in found] == pytest.approx([gray(n) for n in range(25)], abs=1)
    assert [t - start for t, _ in found] == pytest.approx([n / RATE for n in range(25)], abs=0.002)


def test_webm_keeps_texts(run: Run, stream: Path) -> None:
    done = run("decode", stream, "a.webm", "--frames", "20:50", "--audio-codec", "opus")
    assert done.status == 0, done.err
    with av.open("a.webm") as file:
        assert file.streams.subtitles[0].codec_context.name == "webvtt"
        assert [bytes(p) for p in file.demux(file.streams.subtitles[0]) if p.size] == [b"seen"]


def test_avi_of_a_variable_rate_is_told(run: Run, tmp_path: Path) -> None:
    times = [0, 512, 600, 700, 3512]
    with Writer(tmp_path / "v.mkv", info(frame_rate=Fraction(25)), codec="ffv1") as writer:
        for picture in made(pts=times):
            writer.write(picture)
    assert run("encode", "v.mkv", "v.rq", "--roi", "none").status == 0
    done = run("decode", "v.rq", "v.avi", "--codec", "ffv1")
    assert "avi cannot keep the time stamps" in done.err
    _, shown, _ = read("v.avi")
    assert len(shown) == len(times)


def test_images(run: Run, stream: Path, source: Path) -> None:
    done = run("decode", stream, "out_%03d.png", "--frames", "2:5")
    assert done.status == 0, done.err
    assert "images hold pictures only; left out: audio track" in done.err
    assert sorted(p.name for p in Path().glob("*.png")) == [f"out_{n:03d}.png" for n in (1, 2, 3)]
    with Reader(source, slice(2, 5)) as reader:
        for number, picture in enumerate(reader, 1):
            image = cv2.imread(f"out_{number:03d}.png")
            assert image is not None
            np.testing.assert_array_equal(image[..., ::-1], rgb_from_picture(picture))
    assert "out_001.png exists" in run("decode", stream, "out_%03d.png").error
    assert run("decode", stream, "out_%d.jpg", "--frames", ":2").status == 0
    assert {p.name for p in Path().glob("*.jpg")} == {"out_1.jpg", "out_2.jpg"}


@pytest.mark.parametrize("name", ["one.png", "%d_%d.png", "100%.jpg"])
def test_images_need_a_number(run: Run, stream: Path, name: str) -> None:
    assert "number them, as in out_%04d.png" in run("decode", stream, name).error


@pytest.mark.parametrize("format", ["matroska", "nut"])
def test_a_pipe_to_a_player_has_sound(
    stream: Path, whole: NDArray[np.int16], format: str, tmp_path: Path
) -> None:
    arguments = ["decode", stream, "-", "--format", format, "--start", "11"]
    with in_process_of_its_own(*arguments, stdout=subprocess.PIPE) as process:
        data, _ = process.communicate()
    assert process.returncode == 0
    (tmp_path / "piped").write_bytes(data)
    with av.open(str(tmp_path / "piped")) as file:
        assert file.streams.video[0].codec_context.name == "rawvideo"
        found = [int(f.to_ndarray().flat[0]) for f in file.decode(video=0)]
    assert found == [gray(n) for n in range(275, FRAMES)]
    _, samples = sound_of(tmp_path / "piped")
    np.testing.assert_array_equal(samples, whole[-len(samples) :])


def test_an_overlay(run: Run, stream: Path) -> None:
    """The ROI is outlined, the rest dimmed, under a line of text."""
    done = run("decode", stream, "seen.mkv", "--overlay", "--codec", "ffv1", "--frames", "20:22")
    assert done.status == 0, done.err
    _, shown, _ = read("seen.mkv")
    assert [(p.width, p.height) for p in shown] == [(32, 16 + HEADER)] * 2
    for number, picture in enumerate(shown, 20):
        assert picture.y[:HEADER].max() > 100  # the text
        assert picture.y[HEADER + 8, 8] == gray(number)
        assert picture.y[HEADER, 0] == 235
        assert picture.y[HEADER + 8, 24] == int(16 + (gray(number) - 16) * 0.45)


# --- play -----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def player(folder: Path, name: str, code: str) -> None:
    """A program on PATH, in Python."""
    program = folder / name
    program.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    program.chmod(0o755)


@pytest.mark.parametrize("name", ["ffplay", "mpv"])
def test_a_player_gets_pictures_and_sound(
    run: Run, stream: Path, path: Path, tmp_path: Path, name: str
) -> None:
    shown = tmp_path / "shown.nut"
    code = f"print(sys.argv[1:]); open({str(shown)!r}, 'wb').write(sys.stdin.buffer.read())"
    player(path, name, code)
    done = run("play", stream, "--start", "11.9")
    assert done.status == 0, done.err
    with av.open(str(shown)) as file:
        found = [int(f.to_ndarray().flat[0]) for f in file.decode(video=0)]
        assert len(file.streams.audio) == 1
    assert found == [gray(298), gray(299)]


def test_closing_the_player_is_no_error(run: Run, stream: Path, path: Path) -> None:
    player(path, "mpv", "sys.stdin.buffer.read(1000)")
    done = run("play", stream)
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "neither ffplay nor mpv is on PATH; install FFmpeg or mpv"),
        (("--player", "mpv"), "no mpv is on PATH"),
    ],
)
def test_without_a_player(
    run: Run, stream: Path, path: Path, options: tuple[str, ...], message: str
) -> None:
    assert message in run("play", stream, *options).error


def test_a_damaged_stream_is_played_as_far_as_it_goes(run: Run, stream: Path, path: Path) -> None:
    player(path, "mpv", "sys.stdin.buffer.read()")
    stream.write_bytes(stream.read_bytes()[:-40])
    done = run("play", stream)
    assert done.status == 1
    assert "are lost: it is cut; 300 are decoded" in done.error
