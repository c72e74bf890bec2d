"""Sources that are damaged, cut, or on a clock of their own: all that can be read is read."""

from __future__ import annotations

import io
import itertools
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from roicodec.errors import InputError
from roicodec.media import Reader
from tests.media_clips import TIME_BASE, info, mux_gray, mux_text, pictures, read, times, write_av


def packet_at(path: Path, number: int, kind: str = "video") -> tuple[int, int]:
    """Position and size of a packet."""
    with av.open(str(path)) as file:
        stream = next(s for s in file.streams if s.type == kind)
        packet = next(itertools.islice(file.demux(stream), number, None))
        assert packet.pos is not None
        return packet.pos, packet.size


def overwrite(path: Path, position: int, junk: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[position : position + len(junk)] = junk
    path.write_bytes(content)
    return path


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


def strict(path: object) -> str:
    """The error of a strict reader."""
    with pytest.raises(InputError) as caught, Reader(path, strict=True) as reader:  # type: ignore[arg-type]
        list(reader.items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


FAST = {"movflags": "+faststart"}


def fast(path: Path, audio: bool = False, count: int = 25, codec: str = "libx264") -> Path:
    """An MP4 file with its index before the pictures."""
    slow = write_av(path.with_suffix(".slow.mp4"), audio="aac" if audio else None, count=count,
                    codec=codec, options={"g": "5"})  # fmt: skip
    with av.open(str(slow)) as source, av.open(str(path), "w", options=FAST) as out:
        streams = [out.add_stream_from_template(s, opaque=True) for s in source.streams]
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    return path


def test_one_bad_packet_costs_one_frame(tmp_path: Path) -> None:
    path = fast(tmp_path / "a.mp4")
    position, _ = packet_at(path, 12)
    overwrite(path, position, b"\x7f\xff\xff\xff")
    reader, shown, _ = read(path)
    assert len(shown) == 24
    assert len(reader.warnings) == 1
    assert reader.warnings[0].startswith("a packet of the video cannot be decoded (Invalid data")
    assert "left out at frame 1" in reader.warnings[0]
    assert reader.frame_count == 25
    assert "damaged at frame 1" in strict(path)


def test_many_bad_packets_are_told_in_one_line(tmp_path: Path) -> None:
    path = fast(tmp_path / "a.mp4", codec="mpeg4")
    for number in (7, 12, 17):
        position, size = packet_at(path, number)
        overwrite(path, position, bytes(size))
    reader, shown, _ = read(path)
    assert len(shown) == 22
    assert len(reader.warnings) == 1
    assert reader.warnings[0].startswith("3 packets of the video cannot be decoded")
    assert "the first: a packet" in reader.warnings[0]
    assert "at frame 7, 0.24 s" in reader.warnings[0]


def test_damage_after_the_chosen_part_is_not_told(tmp_path: Path) -> None:
    path = fast(tmp_path / "a.mp4", codec="mpeg4")
    position, size = packet_at(path, 12)
    overwrite(path, position, bytes(size))
    reader, shown, _ = read(path, frames=slice(0, 5))
    assert len(shown) == 5
    assert reader.warnings == []


@pytest.mark.parametrize("audio", [False, True])
def test_a_file_that_is_cut(tmp_path: Path, audio: bool) -> None:
    path = fast(tmp_path / "a.mp4", audio)
    cut(path, path.stat().st_size * 6 // 10)
    reader, shown, packets = read(path)
    assert 3 < len(shown) < 25
    text = "\n".join(reader.warnings)
    lost = [w for w in reader.warnings if w.startswith("the file is cut off")]
    assert len(lost) == 1
    assert f"of {reader.frame_count} announced frames are not there at frame {len(shown)}" in text
    assert bool(packets) == audio
    assert strict(path)


def test_matroska_that_is_cut(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.mkv", count=75)
    cut(path, path.stat().st_size // 2)
    reader, shown, _ = read(path)
    assert 0 < len(shown) < 75
    assert any("cut off" in warning for warning in reader.warnings)
    assert "cut off" in strict(path)
    path = write_av(tmp_path / "b.mp4", count=75)  # with the index at the end, nothing is left
    cut(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match="not a video"):
        read(path)


def y4m(count: int) -> bytes:
    planes = [b"".join(p.tobytes() for p in picture.planes) for picture in pictures()[:count]]
    return b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n" + b"".join(b"FRAME\n" + p for p in planes)


def test_y4m_that_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.y4m"
    for size, lost in ((len(y4m(8)), False), (len(y4m(5)), False), (len(y4m(8)) - 1, True)):
        path.write_bytes(y4m(8)[:size])
        reader, shown, _ = read(path)
        expected = ["the file ends inside of a picture: it is cut off at frame 7, 0.24 s"]
        assert reader.warnings == (expected if lost else [])
        assert len(shown) == (5 if size == len(y4m(5)) else 8 - lost)

        pipe = SimpleNamespace(buffer=io.BytesIO(y4m(8)[:size]), isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", pipe)
        assert len(read("-")[0].warnings) == lost
    assert "cut off" in strict(path)


# --- clocks ------------------------------------------------------------------------------------


def at_time(path: Path, offset: float, audio: bool = True, count: int = 25) -> Path:
    """A transport stream that starts at ``offset`` seconds."""
    sound = "libmp3lame" if audio else None
    plain = write_av(path.with_suffix(".mp4"), audio=sound, count=count)
    with av.open(str(plain)) as source, av.open(str(path), "w", format="mpegts") as out:
        streams = [out.add_stream_from_template(s, opaque=True) for s in source.streams]
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                ticks = round(offset / packet.time_base)
                packet.pts, packet.dts = (packet.pts or 0) + ticks, (packet.dts or 0) + ticks
                out.mux(packet)
    return path


def test_a_late_start_becomes_zero(tmp_path: Path) -> None:
    early, late = (read(at_time(tmp_path / f"{t}.ts", t)) for t in (10, 93000))
    assert late[0].warnings == []
    assert times(*late[:2]) == times(*early[:2])
    assert [p.pts for p in late[2]] == [p.pts for p in early[2]]
    firsts = [late[1][0].pts, late[2][0].pts or 0]
    assert min(firsts) == 0
    assert max(firsts) < 90000 // 5


@pytest.mark.parametrize("audio", [False, True])
@pytest.mark.parametrize("starts", [(5000, 10), (10, 5000), (10, 9.5), (10, 40, 20)])
def test_leaps_of_the_clock_are_closed(
    tmp_path: Path, starts: tuple[float, ...], audio: bool
) -> None:
    parts = [at_time(tmp_path / f"{n}.ts", t, audio) for n, t in enumerate(starts)]
    path = tmp_path / "all.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    reader, shown, packets = read(path)
    assert len(shown) == 25 * len(starts)
    found = times(reader, shown)
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert all(0 < gap < Fraction(1, 2) for gap in gaps)
    assert abs(found[-1] - found[0] - len(starts)) < Fraction(1, 2)
    leaps = [w for w in reader.warnings if "the clock leaps" in w]
    assert len(leaps) == 1
    assert "at frame 2" in leaps[0]
    if audio:  # stays with the picture
        sound = [Fraction(p.pts or 0, 90000) for p in packets]
        assert all(0 < b - a < Fraction(1, 10) for a, b in itertools.pairwise(sound))
        assert abs(sound[-1] - found[-1]) < Fraction(1, 2)
    # What the file says of its length is not believed.
    assert reader.frame_count is None or reader.frame_count < 1000


def test_long_pauses_are_no_leaps(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.width, video.height = 64, 48
        mux_gray(out, video, (25 * second for second in (0, 1, 2, 60, 4000)))
    reader, shown, _ = read(path)
    assert times(reader, shown) == [0, 1, 2, 60, 4000]
    assert reader.warnings == []


# --- totals ------------------------------------------------------------------------------------


def test_totals_come_from_the_video(tmp_path: Path) -> None:
    """Not from a subtitle that ends a minute later."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        track = out.add_mux_stream("subrip")
        track.time_base = Fraction(1, 1000)
        mux_gray(out, video, range(25))
        mux_text(out, track, b"late", pts=900, duration=60_000)
    assert read(path)[0].frame_count == 25


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_the_last_picture_ends_when_it_should(tmp_path: Path, suffix: str) -> None:
    from roicodec.media import Writer

    seconds = [0, 1, 2, 10, 20]
    shown = pictures(pts=[12800 * s for s in seconds])
    with Writer(tmp_path / f"a.{suffix}", info(frame_rate=Fraction(1), time_base=TIME_BASE)) as out:
        for picture in shown:
            out.write(picture.__class__(*picture.planes, pts=picture.pts, duration=12800))
    with av.open(str(tmp_path / f"a.{suffix}")) as file:
        assert file.duration is not None
        assert abs(file.duration / 1e6 - 21) < 0.1
        video = file.streams.video[0]
        if video.duration is not None and video.time_base is not None:
            assert video.duration * video.time_base >= 21
    reader, back, _ = read(tmp_path / f"a.{suffix}")
    assert times(reader, back) == seconds
