from __future__ import annotations

import io
import math
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from roicodec.errors import InputError
from roicodec.media import Reader, VideoInfo, Writer
from tests.media_clips import TIME_BASE, info, pictures, read, times, write_av


def flat(path: Path, pix_fmt: str, planes: list[int], codec: str = "ffv1", **tags: int) -> Path:
    """Two frames in which every plane has one value."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 48, 32, pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for number in range(2):
            frame = av.VideoFrame(48, 32, pix_fmt)
            for plane, value in zip(frame.planes, planes, strict=True):
                kind = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
                plane.update(np.full(plane.buffer_size // kind().itemsize, value, kind).tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.color_range = tags.get("color_range", 0)
            frame.colorspace = tags.get("colorspace", 2)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (31, 18), (64, 48)])
def test_lossless_files_come_back_sample_by_sample(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    source = pictures(width, height, noise=True)
    header = f"YUV4MPEG2 W{width} H{height} F25:1 Ip A0:0 C420jpeg\n".encode()
    planes = [b"".join(p.tobytes() for p in picture.planes) for picture in source]
    (tmp_path / "a.y4m").write_bytes(header + b"".join(b"FRAME\n" + p for p in planes))
    reader, shown, packets = read(tmp_path / "a.y4m")
    assert [(p.height, p.width) for p in shown] == [(height, width)] * len(source)
    assert [p.crc32() for p in shown] == [p.crc32() for p in source]
    assert (reader.info.width, reader.info.height) == size
    assert reader.info.frame_rate == 25
    assert reader.info.chroma_location == 2
    assert times(reader, shown) == [Fraction(n, 25) for n in range(len(source))]
    assert reader.warnings == []
    assert packets == []


def test_files_are_read_in_threads(tmp_path: Path) -> None:
    """What FFmpeg logs of one is not taken for another's, nor lost."""
    paths = []
    for n, tag in enumerate(("420jpeg", "420mpeg2", "420paldv")):
        header = f"YUV4MPEG2 W32 H32 F25:1 Ip A{n + 1}:{n + 2} C{tag}\n".encode()
        paths.append(tmp_path / f"{tag}.y4m")
        paths[-1].write_bytes(header + b"FRAME\n" + bytes(32 * 32 * 3 // 2))
    alone = [read(path)[0].info for path in paths]
    assert len({info.chroma_location for info in alone}) == 3
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda path: read(path)[0].info, paths * 30))
    assert together == alone * 30


def test_planes_are_those_of_the_decoder(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.mp4", size=(66, 50), pix_fmt="yuvj420p")
    reader, shown, _ = read(path)
    with av.open(str(path)) as file:
        for frame, picture in zip(file.decode(video=0), shown, strict=True):
            for plane, samples in zip(frame.planes, picture.planes, strict=True):
                rows = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
                assert np.array_equal(rows[:, : plane.width], samples)
    assert reader.info.color_range == 2
    assert reader.info.pixel_format == "yuvj420p"
    assert reader.frame_count == len(shown) == 8
    assert reader.warnings == []


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    pts = [0, 512, 1500, 1600, 9000, 9001]
    with Writer(tmp_path / "a.mp4", info()) as writer:
        for picture in pictures(pts=pts):
            writer.write(picture)
    reader, shown, _ = read(tmp_path / "a.mp4")
    assert reader.info.time_base == TIME_BASE
    assert [p.pts for p in shown] == pts


def test_a_transport_stream_starts_at_zero(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.ts", audio="mp2", format="mpegts")
    with av.open(str(path)) as file:
        sent = [(p.stream.type, p.pts) for p in file.demux() if p.pts is not None]
    begin = min(pts for _, pts in sent)
    assert begin > 0
    reader, shown, packets = read(path)
    assert [p.pts for p in shown] == sorted(pts - begin for kind, pts in sent if kind == "video")
    assert [p.pts for p in packets] == [pts - begin for kind, pts in sent if kind == "audio"]
    assert reader.info.time_base == Fraction(1, 90000)
    assert reader.warnings == []


def test_files_without_presentation_times(tmp_path: Path) -> None:
    reader, shown, _ = read(write_av(tmp_path / "a.avi", count=12))  # with B frames
    assert times(reader, shown) == [Fraction(n, 25) for n in range(12)]
    assert reader.warnings == []
    reader, shown, _ = read(write_av(tmp_path / "a.h264", count=12, rate=30))
    assert times(reader, shown) == [Fraction(n, 30) for n in range(12)]
    assert reader.warnings == ["no time stamps: 30 frames per second assumed"]


def test_info_tells_what_the_file_says(tmp_path: Path) -> None:
    matrix = (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30)
    for name in ("a.mp4", "a.mov", "a.mkv"):
        given = info(
            sample_aspect_ratio=Fraction(16, 11), color_range=2, color_matrix=5,
            color_primaries=5, color_transfer=6, chroma_location=3, display_matrix=matrix,
        )  # fmt: skip
        with Writer(tmp_path / name, given) as writer:
            for picture in pictures():
                writer.write(picture)
        found = read(tmp_path / name)[0].info
        for field in VideoInfo.__dataclass_fields__:
            if field not in ("time_base", "pixel_format"):
                assert getattr(found, field) == getattr(given, field), (name, field)
        assert found.rotation == 90


def test_mirrored_pictures_stay_mirrored(tmp_path: Path) -> None:
    matrix = (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    with Writer(tmp_path / "a.mp4", info(display_matrix=matrix)) as writer:
        for picture in pictures():
            writer.write(picture)
    assert read(tmp_path / "a.mp4")[0].info.display_matrix == matrix


@pytest.mark.parametrize("color_range", [1, 2])
def test_ten_bits_keep_their_mean_in_eight(tmp_path: Path, color_range: int) -> None:
    path = flat(tmp_path / "a.mkv", "yuv420p10le", [401, 602, 299], color_range=color_range)
    reader, shown, _ = read(path)
    luma = 401 / 4 if color_range == 1 else 401 * 255 / 1023
    for plane, level in zip(shown[0].planes, (luma, 602 / 4, 299 / 4), strict=True):
        assert set(plane.ravel()) <= {math.floor(level), math.ceil(level)}
        assert plane.mean() == pytest.approx(level, abs=0.06)
    assert reader.info.color_range == color_range
    assert reader.info.pixel_format == "yuv420p10le"
    assert reader.warnings == ["converted from yuv420p10le to 8-bit 4:2:0"]


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv422p"])
def test_subsampling_changes_neither_matrix_nor_range(
    tmp_path: Path, pix_fmt: str, color_range: int
) -> None:
    path = flat(tmp_path / "a.mkv", pix_fmt, [210, 90, 241], color_range=color_range, colorspace=9)
    reader, shown, _ = read(path)
    assert [p.shape for p in shown[0].planes] == [(32, 48), (16, 24), (16, 24)]
    assert [set(p.ravel()) for p in shown[0].planes] == [{210}, {90}, {241}]
    assert (reader.info.color_matrix, reader.info.color_range) == (9, color_range)
    assert len(reader.warnings) == 1


def test_gray_keeps_its_samples(tmp_path: Path) -> None:
    reader, shown, _ = read(flat(tmp_path / "a.mkv", "gray", [201]))
    assert [set(p.ravel()) for p in shown[0].planes] == [{201}, {128}, {128}]
    assert reader.info.color_range == 2


def test_rgb_becomes_bt709_limited(tmp_path: Path) -> None:
    # Planes are G, B, R; pure red in BT.709, 8 bits, limited range: 63, 102, 240.
    reader, shown, _ = read(flat(tmp_path / "a.avi", "gbrp", [0, 0, 255], codec="utvideo"))
    for plane, value in zip(shown[0].planes, (63, 102, 240), strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 1
    assert (reader.info.color_matrix, reader.info.color_range) == (1, 1)
    assert "BT.709" in reader.warnings[0]


def test_interlaced_material_is_announced(tmp_path: Path) -> None:
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    reader, _, _ = read(write_av(tmp_path / "a.mp4", options=options))
    assert any("interlaced" in warning for warning in reader.warnings)


def test_standard_input_and_file_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write_av(tmp_path / "a.mkv").read_bytes()
    expected = [p.crc32() for p in read(tmp_path / "a.mkv")[1]]
    assert [p.crc32() for p in read(io.BytesIO(content))[1]] == expected

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    stdin = SimpleNamespace(buffer=Pipe(content), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert [p.crc32() for p in read("-")[1]] == expected


@pytest.mark.parametrize("name", ["a:b.mp4", "größe %d.mp4", "-x.mp4"])
def test_strange_file_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Writer(name, info()) as writer:
        for picture in pictures():
            writer.write(picture)
    assert len(read(name)[1]) == 8


# --- a part of the frames --------------------------------------------------------------------


def test_a_part_of_the_frames(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.mp4", count=50, audio="aac")
    _, whole, sound = read(path)
    reader, shown, packets = read(path, frames=slice(10, 20))
    assert [p.crc32() for p in shown] == [p.crc32() for p in whole[10:20]]
    assert [p.pts for p in shown] == [p.pts for p in whole[:10]]
    assert reader.frame_count == 10
    # Frame 10 of 25 a second is at 0.4 s, 19200 samples: all packets that sound in 0.4 .. 0.8 s.
    timed = [(p.pts, p) for p in sound if p.pts is not None]
    expected = [(t, p) for t, p in timed if t + p.duration > 19200 and t < 38400]
    assert [p.data for p in packets] == [p.data for _, p in expected]
    assert [p.pts for p in packets] == [t - 19200 for t, _ in expected]

    assert len(read(path, frames=slice(45, None))[1]) == 5
    assert [p.data for p in read(path, frames=slice(None, None))[2]] == [p.data for p in sound]


def test_parts_that_do_not_exist(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.mp4")
    with pytest.raises(InputError, match="only 8 frames"):
        read(path, frames=slice(8, 12))
    for wrong in (slice(3, 3), slice(-2, None), slice(0, 8, 2)):
        with pytest.raises(InputError, match="0 <= a < b"):
            Reader(path, frames=wrong)


# --- what cannot be read ---------------------------------------------------------------------


def test_what_is_not_a_video(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Reader(tmp_path / "missing.mp4")
    with pytest.raises(InputError, match="is a folder"):
        Reader(tmp_path)
    (tmp_path / "text.mp4").write_text("This is no video.\n" * 100)
    with pytest.raises(InputError, match="not a video"):
        Reader(tmp_path / "text.mp4")
    (tmp_path / "empty.mkv").touch()
    with pytest.raises(InputError, match="not a video"):
        Reader(tmp_path / "empty.mkv")
    (tmp_path / "a.yuv").write_bytes(bytes(10000))
    with pytest.raises(InputError, match=r"\.y4m"):
        Reader(tmp_path / "a.yuv")
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000))
    with pytest.raises(InputError, match="no video track"):
        Reader(tmp_path / "a.wav")


@pytest.mark.parametrize("size", [(14, 64), (64, 8), (4112, 16)])
def test_sizes_that_are_not_supported(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_av(tmp_path / "a.mkv", size=size, codec="ffv1", count=1)
    with pytest.raises(InputError, match=f"{size[0]}x{size[1]}.*16x16"):
        Reader(path)


def test_largest_size(tmp_path: Path) -> None:
    (tmp_path / "a.y4m").write_bytes(
        b"YUV4MPEG2 W4096 H2304 F25:1\nFRAME\n" + bytes(4096 * 2304 * 3 // 2)
    )
    _, shown, _ = read(tmp_path / "a.y4m")
    assert shown[0].y.shape == (2304, 4096)


def test_a_size_that_changes_is_refused(tmp_path: Path) -> None:
    one = write_av(tmp_path / "a.h264", size=(64, 48))
    other = write_av(tmp_path / "b.h264", size=(96, 64))
    (tmp_path / "c.h264").write_bytes(one.read_bytes() + other.read_bytes())
    with pytest.raises(InputError, match="size changes to 96x64 at frame 8"):
        read(tmp_path / "c.h264")


@pytest.mark.parametrize(("format", "bits"), [("yuv420p10le", 10), ("yuv422p12le", 12)])
def test_samples_of_more_bits_are_dithered(tmp_path: Path, format: str, bits: int) -> None:
    """A slow gradient keeps its means, by a pattern that is the same in every picture."""
    gradient = np.repeat(np.linspace(100, 110, 256)[None], 64, 0)
    deep = np.round(gradient * 2 ** (bits - 8)).astype(np.uint16)
    with av.open(str(tmp_path / "deep.mkv"), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 256, 64, format
        for number in range(2):
            frame = av.VideoFrame(256, 64, format)
            for plane in frame.planes:
                samples = np.full((plane.height, plane.line_size // 2), 1 << (bits - 1), np.uint16)
                if plane.width == 256:
                    samples[:, :256] = deep
                plane.update(samples.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    reader, (first, second), _ = read(tmp_path / "deep.mkv")
    assert reader.warnings == [f"converted from {format} to 8-bit 4:2:0"]
    means = first.y.reshape(8, 8, 32, 8).mean((1, 3))
    assert np.abs(means - gradient[:8, :].reshape(8, 32, 8).mean(2)).max() < 0.1
    np.testing.assert_array_equal(first.y, second.y)
    assert set(first.u.flat) == {128}
