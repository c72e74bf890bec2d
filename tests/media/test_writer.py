from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from roicodec.errors import InputError
from roicodec.media import Writer
from roicodec.picture import Picture
from tests.browser import with_browser
from tests.media_clips import copy, info, pictures, psnr, read, times, write_av


def write(path: object, source: list[Picture], **options: object) -> Writer:
    fields = options.pop("fields", {})
    shape = source[0].width, source[0].height
    with Writer(path, info(*shape, **fields), **options) as writer:  # type: ignore[arg-type]
        for picture in source:
            writer.write(picture)
    return writer


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.m4v"])
def test_default_looks_like_the_source_and_keeps_its_times(tmp_path: Path, name: str) -> None:
    source = pictures(pts=[0, 512, 1024, 2048, 5120, 5632, 12800])
    writer = write(tmp_path / name, source)
    reader, shown, _ = read(tmp_path / name)
    assert [t * 12800 for t in times(reader, shown)] == [p.pts for p in source]
    assert min(map(psnr, source, shown)) > 45
    assert writer.warnings == reader.warnings == []
    assert os.listdir(tmp_path) == [name]


def test_a_start_after_zero_is_kept(tmp_path: Path) -> None:
    source = pictures(pts=[7777, 8289, 8801, 9313])
    for name in ("a.mp4", "a.mov"):
        write(tmp_path / name, source)
        with av.open(str(tmp_path / name)) as file:
            assert [frame.pts for frame in file.decode(video=0)] == [p.pts for p in source]


PAUSES = [
    [0, 1, 2, 10, 20],
    [0, 10, 11, 12, 13, 14, 30],
    [0, 1, 2, 3, 4, 5, 6, 7, 60, 61],
    [0, 50, 51, 120],
    [0, 1, 2, 3, 4, 100],
    [0, 90],
    [*range(20), 40, 80, 160, 161, 200],
]
"""Seconds at which pictures begin, with long pauses near the end."""


def with_pauses(seconds: list[int]) -> list[Picture]:
    """Pictures that begin at these seconds, the last of which is on show for a second."""
    source = pictures(pts=[12800 * second for second in seconds])
    return [*source[:-1], replace(source[-1], duration=12800)]


@pytest.mark.parametrize("seconds", PAUSES)
@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_pauses_count_in_the_length(
    tmp_path: Path, seconds: list[int], codec: str, name: str
) -> None:
    """In the length of the track and in that of the file, whatever the order of decoding."""
    source = with_pauses(seconds)
    write(tmp_path / name, source, codec=codec)
    reader, shown, _ = read(tmp_path / name)
    assert times(reader, shown) == seconds
    with av.open(str(tmp_path / name)) as file:
        stream = file.streams.video[0]
        assert file.duration is not None
        assert abs(file.duration / 1e6 - seconds[-1] - 1) < 0.01
        if name != "a.mkv":  # whose tracks have no length
            assert stream.duration is not None
            assert stream.time_base is not None
            assert stream.duration * stream.time_base == seconds[-1] + 1 - seconds[0]


def test_a_browser_sees_the_length(tmp_path: Path) -> None:
    names = [f"{number}.mp4" for number in range(len(PAUSES))]
    for name, seconds in zip(names, PAUSES, strict=True):
        write(tmp_path / name, with_pauses(seconds))
    (tmp_path / "page.html").write_text(PAGE.replace("NAMES", json.dumps(names)))
    shown = with_browser(tmp_path / "page.html", tmp_path, "--virtual-time-budget=20000")
    found = json.loads(shown.partition('<pre id="found">')[2].partition("</pre>")[0])
    assert found == {name: seconds[-1] + 1 for name, seconds in zip(names, PAUSES, strict=True)}


PAGE = """<body><pre id="found"></pre><script>
const found = {}, names = NAMES;
for (const name of names) {
  const video = document.createElement("video");
  const done = length => {
    found[name] = length;
    if (Object.keys(found).length == names.length)
      document.getElementById("found").textContent = JSON.stringify(found);
  };
  video.onloadedmetadata = () => done(video.duration);
  video.onerror = () => done("error");
  video.src = name;
  document.body.appendChild(video);
}
</script></body>"""


@pytest.mark.parametrize("time_base", [Fraction(1, 25), Fraction(1001, 30000), Fraction(1, 600)])
def test_mp4_counts_in_the_time_base_of_the_source(tmp_path: Path, time_base: Fraction) -> None:
    source = pictures(pts=[0, 1, 2, 4, 5, 6])
    write(tmp_path / "a.mp4", source, fields={"time_base": time_base})
    reader, shown, _ = read(tmp_path / "a.mp4")
    assert reader.info.time_base == Fraction(1, time_base.denominator)
    assert times(reader, shown) == [p.pts * time_base for p in source]


@pytest.mark.parametrize(
    ("codec", "name"),
    [("ffv1", "a.mkv"), ("ffv1", "a.mp4"), ("libx264", "a.mp4"), ("libx265", "a.mp4")],
)
def test_codecs_without_loss(tmp_path: Path, codec: str, name: str) -> None:
    source = pictures(noise=True)
    # crf 0 of x264 is exact; x265 needs another switch, and is only fine
    crf = 0 if codec.startswith("libx26") else None
    write(tmp_path / name, source, codec=codec, crf=crf)
    _, shown, _ = read(tmp_path / name)
    if codec == "libx265":
        assert min(map(psnr, source, shown)) > 40
    else:
        assert [p.crc32() for p in shown] == [p.crc32() for p in source]


def test_crf_counts(tmp_path: Path) -> None:
    source = pictures(noise=True)
    sizes = []
    for crf in (None, 30.5, 45):
        write(tmp_path / "a.mp4", source, crf=crf)
        sizes.append((tmp_path / "a.mp4").stat().st_size)
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]


@pytest.mark.parametrize(
    ("name", "codec", "luma"),
    [("a.mkv", "ffv1", 99), ("a.mp4", "libx264", 40), ("a.mp4", "libsvtav1", 36)],
)
def test_odd_sizes_keep_their_size(tmp_path: Path, name: str, codec: str, luma: float) -> None:
    source = pictures(17, 31)
    writer = write(tmp_path / name, source, codec=codec)
    reader, shown, _ = read(tmp_path / name)
    assert (reader.info.width, reader.info.height) == (17, 31)
    assert shown[0].u.shape == (16, 9)
    assert min(map(psnr, source, shown)) > luma
    # smooth chroma survives the way through 4:4:4, if libx264 had to take it
    assert np.abs(source[3].u.astype(int) - shown[3].u).mean() < 3
    assert any("4:4:4" in w for w in writer.warnings) == (codec == "libx264")


def test_aspect_by_codec(tmp_path: Path) -> None:
    fields = {"sample_aspect_ratio": Fraction(4, 3)}
    for codec, name in (("ffv1", "a.mkv"), ("libx265", "a.mkv"), ("libsvtav1", "a.mp4")):
        writer = write(tmp_path / name, pictures(), codec=codec, fields=fields)
        assert read(tmp_path / name)[0].info.sample_aspect_ratio == Fraction(4, 3), codec
        assert writer.warnings == []
    writer = write(tmp_path / "a.mkv", pictures(), codec="libsvtav1", fields=fields)
    assert "4/3" in writer.warnings[0]


# --- y4m and raw planes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "rest"),
    [
        ({}, "F25:1 Ip A0:0 C420jpeg"),
        (
            {"frame_rate": Fraction(30000, 1001), "sample_aspect_ratio": Fraction(8, 9),
             "color_range": 1, "chroma_location": 1},
            "F30000:1001 Ip A8:9 C420mpeg2 XCOLORRANGE=LIMITED",
        ),
        ({"color_range": 2, "chroma_location": 3}, "F25:1 Ip A0:0 C420paldv XCOLORRANGE=FULL"),
    ],
)  # fmt: skip
def test_y4m_is_exact(tmp_path: Path, fields: dict[str, object], rest: str) -> None:
    source = pictures(17, 31, noise=True)
    write(tmp_path / "a.y4m", source, fields=fields)
    frames = b"".join(b"FRAME\n" + b"".join(p.tobytes() for p in s.planes) for s in source)
    content = (tmp_path / "a.y4m").read_bytes()
    assert content == f"YUV4MPEG2 W17 H31 {rest}\n".encode() + frames
    reader, shown, _ = read(tmp_path / "a.y4m")
    assert [p.crc32() for p in shown] == [p.crc32() for p in source]
    for name, value in fields.items():
        assert getattr(reader.info, name) == value


def test_y4m_header_equals_that_of_ffmpeg(tmp_path: Path) -> None:
    source = write_av(tmp_path / "a.mp4")
    copy(source, tmp_path / "a.y4m")
    ours = (tmp_path / "a.y4m").read_bytes()
    with av.open(str(source)) as file, av.open(str(tmp_path / "b.y4m"), "w") as out:
        stream = out.add_stream("wrapped_avframe", rate=25)
        stream.width, stream.height = 64, 48
        for frame in file.decode(video=0):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    theirs = (tmp_path / "b.y4m").read_bytes()
    assert ours.split(b"\n", 1)[1] == theirs.split(b"\n", 1)[1]


def test_raw_planes(tmp_path: Path) -> None:
    source = pictures(17, 31, noise=True)
    write(tmp_path / "a.yuv", source)
    planes = b"".join(plane.tobytes() for picture in source for plane in picture.planes)
    assert (tmp_path / "a.yuv").read_bytes() == planes


def test_what_y4m_cannot_hold_is_said(tmp_path: Path) -> None:
    matrix = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    writer = write(
        tmp_path / "a.y4m", pictures(pts=[0, 512, 2048]),
        fields={"display_matrix": matrix, "frame_rate": None},
    )  # fmt: skip
    text = "\n".join(writer.warnings)
    assert "-90 degrees" in text
    assert "variable frame rate" in text
    assert "frame rate unknown" in text
    assert len(writer.warnings) == 3
    assert write(tmp_path / "b.y4m", pictures()).warnings == []


def test_standard_output(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stdout = SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdout", stdout)
    source = pictures(noise=True)
    write("-", source)
    write(tmp_path / "a.y4m", source)
    assert stdout.buffer.getvalue() == (tmp_path / "a.y4m").read_bytes()


def test_file_objects(tmp_path: Path) -> None:
    source = pictures()
    for format in ("mkv", "mp4", "y4m"):
        target = io.BytesIO()
        write(target, source, format=format)
        target.seek(0)
        assert len(read(target)[1]) == len(source)


# --- whole or not at all ---------------------------------------------------------------------


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.y4m", "a.yuv"])
def test_nothing_is_left_after_an_error(
    tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    (tmp_path / name).write_text("what was there before")

    def write_most() -> None:
        with Writer(tmp_path / name, info()) as writer:
            for picture in pictures(pts=range(0, 70 * 512, 512)):
                writer.write(picture)
            assert len(os.listdir(tmp_path)) == 2
            raise error

    with pytest.raises(error):
        write_most()
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "what was there before"


def test_a_full_disk_is_an_input_error_and_leaves_nothing() -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    for format in ("y4m", "mkv"):
        with pytest.raises(InputError, match="No space left"):
            write(Full(), pictures(), format=format)


def test_a_reader_that_goes_away_stays_a_broken_pipe() -> None:
    class Gone(io.BytesIO):
        def write(self, data: object) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        write(Gone(), pictures())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.flv", {}, "cannot tell the format"),
        ("a", {}, "cannot tell the format"),
        ("no/a.mp4", {}, "does not exist"),
        ("a.mp4", {"codec": "h269"}, "no such encoder"),
        ("a.mp4", {"codec": "aac"}, "does not code 8-bit 4:2:0 video"),
        ("a.mp4", {"codec": "utvideo"}, "mp4 cannot hold video by utvideo"),
        ("a.mkv", {"codec": "ffv1", "crf": 20}, "is lossless"),
        ("a.mkv", {"codec": "mpeg4", "crf": 20}, "has no such setting"),
        ("a.mp4", {"crf": 100}, r"0\.\.63"),
        ("a.mp4", {"codec": "mpeg4", "fields": {"time_base": Fraction(1, 90000)}}, "1/90000"),
        ("a.y4m", {"codec": "libx264"}, "do not apply"),
        ("a.yuv", {"crf": 12}, "do not apply"),
    ],
)
def test_wrong_targets(tmp_path: Path, name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        write(tmp_path / name, pictures(), **options)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="32x32"), Writer(tmp_path / "a.y4m", info()) as writer:
        writer.write(pictures(32, 32)[0])
    assert os.listdir(tmp_path) == []
