"""Tracks, packets, tags, chapters and times that are damaged: each costs itself alone."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from roicodec.bitstream.fields import text, varint
from roicodec.errors import StreamError
from roicodec.media import Chapter, Extras, Problems, Reader, Track, TrackPacket, Writer
from roicodec.media.parameters import open_header
from roicodec.picture import Picture
from tests.media.test_tracks import with_subtitles
from tests.media_clips import info, pictures, psnr, read, write_av

FORMATS = ["mkv", "mp4", "mov"]
GOOD = Chapter(1, 0, 5, Fraction(1, 25), {"title": "One"})
COUNT = 8


def audio_of(path: Path) -> tuple[Track, list[TrackPacket]]:
    with Reader(write_av(path, audio="aac")) as reader:
        items = list(reader.items())
        return reader.extras.tracks[0], [i for i in items if isinstance(i, TrackPacket)]


def parsed(extras: Extras) -> tuple[Extras, Problems]:
    problems = Problems()
    return Extras.from_bytes(extras.to_bytes(), problems), problems


def write(
    path: Path,
    extras: Extras,
    packets: list[TrackPacket],
    shown: list[Picture] | None = None,
) -> Writer:
    shown = pictures() if shown is None else shown
    pixels = info(shown[0].width, shown[0].height, display_matrix=extras.display_matrix)
    with Writer(path, pixels, extras) as writer:
        for number in range(max(len(packets), len(shown))):
            for packet in packets[number : number + 1]:
                writer.write_packet(packet)
            for picture in shown[number : number + 1]:
                writer.write(picture)
    return writer


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        ({"time_base": Fraction(1 << 40)}, "track 0: time base 1099511627776 is out of range"),
        ({"time_base": Fraction(2147483647, 1000)}, "track 0: time base 2147483647/1000 is out"),
        ({"time_base": Fraction(1, 1 << 31)}, "track 0: time base 1/2147483648 is out of range"),
        ({"disposition": 1 << 40}, "audio track aac: disposition 0x10000000000 is unknown"),
        ({"sample_rate": 1 << 63}, f"audio track aac: sample rate {1 << 63} is out of range"),
        ({"bit_rate": 1 << 33}, f"audio track aac: bit rate {1 << 33} is out of range"),
        ({"metadata": {"title": "a\0b"}}, "tag 'title' of audio track aac"),
        ({"header": b"junk"}, "audio track aac: its header is damaged"),
        ({"header_format": "concat"}, "audio track aac: header in unknown format 'concat'"),
        ({"kind": "subtitle"}, "subtitle track aac: its header describes something else"),
    ],
)
def test_fields_of_a_track(tmp_path: Path, bad: dict[str, object], line: str) -> None:
    track, packets = audio_of(tmp_path / "a.mp4")
    extras, problems = parsed(Extras((replace(track, **bad), track)))  # type: ignore[arg-type]
    packets += [replace(packet, track=1) for packet in packets]
    for name in FORMATS:
        writer = write(tmp_path / f"b.{name}", extras, packets)
        told = problems + writer.problems
        assert len(told) == 1
        assert told[0].startswith(line)
        assert "left out" in told[0]
        reader, shown, _ = read(tmp_path / f"b.{name}")
        assert len(shown) == COUNT
        assert reader.extras.tracks[-1].codec == "aac"  # the other one is sound


@pytest.mark.parametrize(
    ("chapter", "line"),
    [
        (replace(GOOD, id=2, end=-1), "chapter 2: 0 to -1 is not a time span; left out"),
        (replace(GOOD, id=1 << 62, start=5, end=1 << 62 | 1), f"chapter {1 << 62}: 5 to"),
        (replace(GOOD, time_base=Fraction(1 << 32)), "chapter 1: time base 4294967296/1 is out"),
    ],
)
def test_chapters(tmp_path: Path, chapter: Chapter, line: str) -> None:
    extras, problems = parsed(Extras(chapters=(GOOD, chapter)))
    assert extras.chapters == (GOOD,)
    assert len(problems) == 1
    assert problems[0].startswith(line)
    writer = write(tmp_path / "b.mkv", extras, [])
    assert writer.problems == []
    assert len(read(tmp_path / "b.mkv")[0].extras.chapters) == 1


def test_chapters_before_the_start(tmp_path: Path) -> None:
    """Allowed by their fields, refused by Matroska."""
    early = replace(GOOD, id=7, start=-50, end=-30)
    for name in FORMATS:
        writer = write(tmp_path / f"b.{name}", Extras(chapters=(GOOD, early)), [])
        reader, shown, _ = read(tmp_path / f"b.{name}")
        assert len(shown) == COUNT
        assert reader.extras.chapters[0].metadata["title"] == "One"
        refused = ["chapter 7: mkv refuses it; left out"] if name == "mkv" else []
        assert writer.problems == refused


def test_display_matrix() -> None:
    extras, problems = parsed(Extras(metadata={"a": "b"}, display_matrix=(1 << 31, *[0] * 8)))
    assert extras == Extras(metadata={"a": "b"})
    assert problems == [f"display matrix {(1 << 31, *[0] * 8)} is out of range; left out"]


def test_parameters_that_make_the_output_unreadable(tmp_path: Path) -> None:
    """The MP4 muxer takes them; what it writes, FFmpeg cannot open."""
    track, packets = audio_of(tmp_path / "a.mp4")
    header = io.BytesIO()
    with open_header(track) as source, av.open(header, "w", format="avi") as out:
        stream = out.add_stream_from_template(source, opaque=True)
        stream.codec_context.extradata = b"x" * 36
        packet = packets[0].to_av(stream, track.time_base)
        out.mux(packet)
    junk = replace(track, header=header.getvalue(), header_format="avi")
    writer = write(tmp_path / "b.mp4", Extras((junk,)), packets)
    assert len(writer.warnings + writer.problems) == 1
    assert read(tmp_path / "b.mp4")[0].extras.tracks == ()
    assert len(read(tmp_path / "b.mp4")[1]) == COUNT


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = b"caf\xe9.ttf".decode("utf-8", "surrogateescape")
    font = Track("attachment", "", Fraction(1, 1000), 0, {"filename": name}, header=b"font")
    chapter = Chapter(1, 0, 1, Fraction(1), {"title": name})
    tags = {"title": "plain", name: "a", "artist": name}
    extras, problems = parsed(Extras((font,), tags, {"title": name}, (chapter,)))
    writer = write(tmp_path / "b.mkv", extras, [])
    assert problems + writer.problems == []
    assert set(writer.warnings) == {
        "tag caf\\xe9.ttf of the file is not UTF-8: escaped",
        "tag title of the video is not UTF-8: escaped",
        "tag title of chapter 1 is not UTF-8: escaped",
        "the attachment caf\\xe9.ttf has a name that is not UTF-8: escaped",
    }
    with av.open(tmp_path / "b.mkv") as file:  # which refuses what is not UTF-8
        assert file.streams[1].metadata["filename"] == "caf\\xe9.ttf"
        found = {key.lower(): value for key, value in file.metadata.items()}
        assert found["title"] == "plain"
        assert found["artist"] == "caf\\xe9.ttf"
        assert found["caf\\xe9.ttf"] == "a"
        assert file.chapters()[0]["metadata"] == {"title": "caf\\xe9.ttf"}


def test_types_that_are_none(tmp_path: Path) -> None:
    metadata = {"filename": "a.ttf", "mimetype": b"font/\xe9".decode("utf-8", "surrogateescape")}
    font = Track("attachment", "", Fraction(1, 1000), 0, metadata, header=b"font")
    writer = write(tmp_path / "b.mkv", Extras((font,)), [])
    assert writer.problems == ["attachment a.ttf: its type is not one; left out"]
    back = read(tmp_path / "b.mkv")[0].extras.tracks[0]
    assert back.metadata == {"filename": "a.ttf", "mimetype": "application/octet-stream"}


def test_more_tracks_than_muxers_bear(tmp_path: Path) -> None:
    font = Track("attachment", "", Fraction(1, 1000), header=b"font")
    track, packets = audio_of(tmp_path / "a.mp4")
    extras, problems = parsed(Extras((*[font] * 600, *[track] * 400)))
    assert len(extras.tracks) == 256
    assert len(problems) == 1
    assert problems[0].startswith("1000 tracks are more than 256")
    writer = write(tmp_path / "b.mkv", extras, [])
    assert writer.problems == []
    assert len(read(tmp_path / "b.mkv")[0].extras.tracks) == 256

    extras, _ = parsed(Extras((track,) * 1000))
    for suffix in FORMATS:
        write(tmp_path / f"c.{suffix}", extras, packets)
        assert len(read(tmp_path / f"c.{suffix}")[1]) == COUNT


def test_a_damage_in_the_middle_keeps_what_stands_before() -> None:
    extras = Extras((), {"title": "kept"}, {"a": "b"}, (GOOD,))
    payload = extras.to_bytes()
    problems = Problems()
    found = Extras.from_bytes(payload[:-12], problems)
    assert found == Extras((), {"title": "kept"}, {"a": "b"})
    assert len(problems) == 1
    assert problems[0].startswith("chapters: a field reaches beyond the end")
    with pytest.raises(StreamError, match="chapters"):
        Extras.from_bytes(payload[:-12])


def test_many_problems_are_counted() -> None:
    bad = tuple(replace(GOOD, id=n, end=-1) for n in range(2000))
    _, problems = parsed(Extras(chapters=bad))
    assert problems.total == 2000
    assert len(problems) == 11
    assert problems[-1] == "1990 more parts like these are left out"


def test_counts_are_checked_before_memory_is_taken() -> None:
    zero_length = varint(0) + varint(0) + varint(0) + varint(1 << 25) + 2 * (1 << 25) * b"\0"
    tags = varint(0) + varint(1 << 25) + 2 * (1 << 25) * b"\0"
    start = time.process_time()
    with pytest.raises(StreamError, match="33554432 pieces of side data"):
        TrackPacket.from_bytes(zero_length)
    with pytest.raises(StreamError, match="33554432 tags of the file"):
        Extras.from_bytes(tags)
    with pytest.raises(StreamError, match="packet of track 256"):
        TrackPacket.from_bytes(varint(256) + varint(0) + varint(0) + varint(0))
    assert time.process_time() - start < 2


# --- packets that muxers refuse --------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        {"pts": 1 << 61, "dts": 1 << 61},
        {"pts": -(1 << 61), "dts": -(1 << 61)},
        {"pts": 0, "dts": 1 << 50},
        {"duration": 1 << 61},
        {"duration": 1 << 32},
        {"pts": None, "dts": None, "duration": 1 << 16},
        {"data": b""},
        {"data": b"\xff\xf1\0\0"},
        {"side_data": (("new_extradata", b"x" * 36),)},
        {"side_data": (("new_extradata", b""), ("no such kind", b"x"))},
    ],
)
def test_packets(tmp_path: Path, bad: dict[str, object]) -> None:
    track, packets = audio_of(tmp_path / "a.mp4")
    packets[2] = replace(packets[2], **bad)  # type: ignore[arg-type]
    for suffix in FORMATS:
        writer = write(tmp_path / f"b.{suffix}", Extras((track,)), packets)
        assert len(read(tmp_path / f"b.{suffix}")[1]) == COUNT
        assert all("audio track aac" in line for line in writer.problems)
        assert len(writer.problems) <= 1


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1"])
def test_what_mp4_notices_at_the_end_alone(tmp_path: Path, codec: str, early: bool) -> None:
    """Junk for Opus's parameters: the file is written once more, without the track."""
    with Reader(write_av(tmp_path / "a.mkv", audio="libopus")) as reader:
        (track,) = reader.extras.tracks
        packets = [item for item in reader.items() if isinstance(item, TrackPacket)]
    header = io.BytesIO()
    with open_header(track) as source, av.open(header, "w", format="matroska") as out:
        stream = out.add_stream_from_template(source, opaque=True)
        stream.codec_context.extradata = b"short"
        out.mux(packets[0].to_av(stream, track.time_base))
    junk = replace(track, header=header.getvalue())
    font = Track("attachment", "", Fraction(1, 1000), 0, {"filename": "a.ttf"}, header=b"font")
    (tmp_path / "texts").mkdir()
    text = read(with_subtitles(tmp_path / "texts", "subrip"))[0].extras.tracks[0]
    extras = Extras((junk, text, font), {"title": "kept"}, chapters=(GOOD,))
    with Writer(tmp_path / "b.mp4", info(), extras, codec) as writer:
        for packet in packets if early else []:
            writer.write_packet(packet)
        for picture in pictures():
            writer.write(picture)
        writer.write_packet(TrackPacket(1, 40, 40, 80, True, b"Hallo"))
        for packet in [] if early else packets:
            writer.write_packet(packet)
    assert writer.problems == [
        "audio track opus: Invalid data found when processing input; left out"
    ]
    reader, shown, texts = read(tmp_path / "b.mp4")
    assert [round(p.pts * reader.info.time_base * 25) for p in shown] == list(range(COUNT))
    assert psnr(shown[0], pictures()[0]) > 40
    assert reader.extras.metadata["title"] == "kept"
    assert len(reader.extras.chapters) == 1
    assert [str(found) for found in reader.extras.tracks] == ["subtitle track mov_text (deu)"]
    assert b"\0\x05Hallo" in [packet.data for packet in texts]


def test_packets_of_no_track(tmp_path: Path) -> None:
    track, packets = audio_of(tmp_path / "a.mp4")
    stray = [replace(packet, track=9) for packet in packets]
    writer = write(tmp_path / "b.mp4", Extras((track,)), stray)
    assert writer.problems == ["packets of track 9, which is not described"]


@pytest.mark.parametrize("bad", [{"duration": 1 << 45}, {"pts": 1 << 40}, {"pts": -5000}])
def test_texts_that_are_converted(tmp_path: Path, bad: dict[str, int]) -> None:
    reader, _, packets = read(with_subtitles(tmp_path, "subrip"))
    packets[0] = replace(packets[0], **bad)  # type: ignore[arg-type]
    for suffix in FORMATS:
        writer = write(tmp_path / f"b.{suffix}", reader.extras, packets)
        assert len(read(tmp_path / f"b.{suffix}")[1]) == COUNT
        assert len(writer.problems) <= 1
        if bad != {"pts": -5000}:
            assert writer.problems[0].startswith("subtitle track subrip (deu): a packet's ")


def test_audio_that_is_coded_anew(tmp_path: Path) -> None:
    track, packets = audio_of(tmp_path / "a.mp4")
    packets[2] = replace(packets[2], pts=1 << 38, dts=1 << 38)
    packets[3] = replace(packets[3], data=b"junk")
    for suffix in ("mkv", "mp4"):
        with Writer(tmp_path / f"b.{suffix}", info(), Extras((track,)), audio_codec="flac") as out:
            for number, picture in enumerate(pictures()):
                for packet in packets[2 * number : 2 * number + 2]:
                    out.write_packet(packet)
                out.write(picture)
        assert len(read(tmp_path / f"b.{suffix}")[1]) == COUNT
        assert all(line.startswith("audio track aac: ") for line in out.problems)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_first_picture_before_time_zero(tmp_path: Path, suffix: str) -> None:
    """What is there, players cut off."""
    shown = pictures()
    shown[0] = replace(shown[0], pts=-263801250)
    writer = write(tmp_path / f"b.{suffix}", Extras(), [], shown)
    assert len(read(tmp_path / f"b.{suffix}")[1]) == COUNT
    assert writer.problems == ["picture 0: time stamp -263801250 cannot be; 0 taken"]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("bad", [-(1 << 63), (1 << 62) + 7, 512, 1 << 40])
def test_times_of_pictures(tmp_path: Path, suffix: str, bad: int) -> None:
    shown = pictures()
    shown[4] = replace(shown[4], pts=bad)
    shown[6] = replace(shown[6], duration=1 << 62)
    writer = write(tmp_path / f"b.{suffix}", Extras(), [], shown)
    reader, back, _ = read(tmp_path / f"b.{suffix}")
    assert [round(p.pts * reader.info.time_base * 25) for p in back] == list(range(COUNT))
    assert writer.problems == [
        f"picture 4: time stamp {bad} cannot be; 2048 taken",
        f"picture 6: duration {1 << 62} cannot be; left out",
    ]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_time_base_of_years(tmp_path: Path, suffix: str) -> None:
    shown = pictures(pts=range(COUNT))
    given = info(time_base=Fraction(1 << 30), frame_rate=Fraction(1, 1 << 30))
    with Writer(tmp_path / f"b.{suffix}", given) as writer:
        for picture in shown:
            writer.write(replace(picture, duration=1))
    assert writer.problems == ["time base 1073741824 of the pictures cannot be; 1/25 s taken"]
    reader, back, _ = read(tmp_path / f"b.{suffix}")
    assert [round(p.pts * reader.info.time_base * 25) for p in back] == list(range(COUNT))


def test_a_clock_that_leaps_further_than_mp4_can_say(tmp_path: Path) -> None:
    shown = pictures()
    shown[4:] = [replace(picture, pts=picture.pts + (1 << 34)) for picture in shown[4:]]
    write(tmp_path / "b.mp4", Extras(), [], shown)
    reader, back, _ = read(tmp_path / "b.mp4")
    assert [round(p.pts * reader.info.time_base * 25) for p in back] == list(range(COUNT))


def test_properties_of_old_streams_are_none() -> None:
    extras = Extras(metadata={"a": "b"})
    assert Extras.from_bytes(extras.to_bytes()) == extras
    more = replace(extras, properties={"field_order": "tt"})
    assert more.to_bytes() == extras.to_bytes() + varint(1) + text("field_order") + text("tt")
    assert Extras.from_bytes(more.to_bytes()) == more
