from __future__ import annotations

import random
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roicodec.errors import StreamError
from roicodec.media import Chapter, Extras, Reader, Track, TrackPacket, Writer
from tests.media_clips import add_audio, copy, info, mux_gray, pictures, read, times, write_av

numbers = st.integers(-(1 << 61), 1 << 61)


@given(
    st.integers(0, 99), st.none() | numbers, st.none() | numbers, st.integers(0, 1 << 60),
    st.booleans(), st.binary(max_size=50),
    st.lists(st.tuples(st.sampled_from(["skip_samples", "palette"]), st.binary()), max_size=3),
)  # fmt: skip
def test_packets_survive_as_bytes(
    track: int, pts: int | None, dts: int | None, duration: int, key: bool, data: bytes,
    side_data: list[tuple[str, bytes]],
) -> None:  # fmt: skip
    packet = TrackPacket(track, pts, dts, duration, key, data, tuple(side_data))
    assert TrackPacket.from_bytes(packet.to_bytes()) == packet


def test_packets_as_specified() -> None:
    packet = TrackPacket(1, 300, 298, 1024, True, b"abc", (("palette", b"xy"),))
    assert packet.to_bytes() == (
        b"\x01"  # track
        b"\x07"  # key, pts and dts are given
        b"\x84\x58"  # pts: zigzag 600
        b"\x03"  # dts - pts = -2: zigzag 3
        b"\x88\x00"  # duration
        b"\x01\x07palette\x02xy"  # one side datum
        b"abc"
    )


def extras() -> Extras:
    tracks = (
        Track("audio", "aac", Fraction(1, 48000), 1, {"language": "deu", "title": "Ön"},
              "matroska", b"header", 48000, "stereo", 128000),
        Track("attachment", "", Fraction(1, 1000), 0, {"filename": "f.ttf"}, header=bytes(9)),
    )  # fmt: skip
    chapters = (Chapter(-1, 0, 90000, Fraction(1, 90000), {"title": "Eins"}),)
    matrix = (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30)
    return Extras(tracks, {"title": "Ein \udcff Titel"}, {"a": "b"}, chapters, matrix)


def test_extras_survive_as_bytes() -> None:
    assert Extras.from_bytes(extras().to_bytes()) == extras()
    assert Extras.from_bytes(Extras().to_bytes()) == Extras()


def test_times_out_of_range_are_stream_errors() -> None:
    for wrong in (
        TrackPacket(0, 1 << 62, None, (1 << 64) - 1, True, b""),
        TrackPacket(0, (1 << 63) - 1, None, 0, True, b""),
        TrackPacket(0, -(1 << 62), -(1 << 62) - 9, 0, True, b""),
    ):
        with pytest.raises(StreamError, match="out of range"):
            TrackPacket.from_bytes(wrong.to_bytes())


def test_damaged_bytes_are_stream_errors() -> None:
    good = extras().to_bytes()
    for cut in range(len(good)):
        with pytest.raises(StreamError):
            Extras.from_bytes(good[:cut])
    rng = random.Random(1)
    for _ in range(2000):
        wrong = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            wrong[rng.randrange(len(wrong))] = rng.randrange(256)
        for parse in (Extras.from_bytes, TrackPacket.from_bytes):
            with suppress(StreamError):
                parse(bytes(wrong))


# --- audio -----------------------------------------------------------------------------------


def sound(path: Path) -> tuple[list[tuple[Fraction, bytes]], bytes]:
    """Times and bytes of the packets, and all decoded samples, as PyAV alone sees them."""
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        packets = [
            ((p.pts or 0) * p.time_base, bytes(p)) for p in file.demux(stream) if p.size
        ]  # fmt: skip
    with av.open(str(path)) as file:
        samples = b"".join(
            np.ascontiguousarray(frame.to_ndarray()).tobytes() for frame in file.decode(audio=0)
        )
    return packets, samples


@pytest.mark.parametrize(
    ("audio", "source", "target"),
    [
        ("aac", "mp4", "mp4"),
        ("aac", "mov", "mov"),
        ("aac", "mp4", "mov"),
        ("aac", "mkv", "mkv"),
        ("libopus", "mkv", "mkv"),
        ("libopus", "mp4", "mp4"),
        ("vorbis", "mkv", "mkv"),
        ("flac", "mkv", "mkv"),
        ("flac", "mp4", "mp4"),
        ("libmp3lame", "mkv", "mkv"),
        ("libmp3lame", "mp4", "mp4"),
        ("ac3", "mp4", "mp4"),
        ("eac3", "mkv", "mkv"),
        ("alac", "mov", "mov"),
        ("pcm_s16le", "mkv", "mkv"),
        ("pcm_s24le", "mov", "mov"),
        ("mp2", "ts", "mkv"),
        ("pcm_s16le", "avi", "mov"),
        ("aac", "mp4", "mkv"),
        ("libopus", "mkv", "mp4"),
    ],
)
def test_audio_is_carried_packet_by_packet(
    tmp_path: Path, audio: str, source: str, target: str
) -> None:
    format = {"ts": "mpegts"}.get(source)
    one = write_av(tmp_path / f"a.{source}", audio=audio, format=format, count=25)
    other = tmp_path / f"b.{target}"
    reader, writer = copy(one, other)
    assert reader.warnings == writer.warnings == []
    packets, samples = sound(one)
    back, again = sound(other)
    if source == target:
        assert back == packets
        assert again == samples
    elif audio.startswith("pcm"):  # cut into packets at other places
        assert b"".join(data for _, data in back) == b"".join(data for _, data in packets)
    else:
        assert [data for _, data in back] == [data for _, data in packets]
        begin = packets[0][0] if source == "ts" else 0  # all else starts at 0
        worst = max(abs(b - a + begin) for (a, _), (b, _) in zip(packets, back, strict=True))
        assert worst <= Fraction(1, 1000)
    pairs = zip(times(*read(other)[:2]), times(*read(one)[:2]), strict=True)
    assert max(abs(b - a) for a, b in pairs) <= (Fraction(1, 1000) if source == "ts" else 0)


def test_adts_audio_of_a_transport_stream_sounds_the_same(tmp_path: Path) -> None:
    one = write_av(tmp_path / "a.ts", audio="aac", format="mpegts", count=25)
    for name in ("b.mp4", "b.mkv"):
        copy(one, tmp_path / name)
        assert sound(tmp_path / name)[1] == sound(one)[1]  # the ADTS headers are gone


@pytest.mark.parametrize("name", ["b.mp4", "b.mov"])
def test_offsets_between_sound_and_picture_are_exact(tmp_path: Path, name: str) -> None:
    one = tmp_path / "a.mp4"
    with av.open(str(one), "w", options={"movie_timescale": "192000"}) as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        video.time_base = video.codec_context.time_base = Fraction(1, 12800)
        track = out.add_stream("aac", rate=48000)
        packets = []
        for picture in pictures(pts=range(6401, 20000, 512)):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = picture.pts, Fraction(1, 12800)
            packets += video.encode(frame)
        packets += video.encode(None) + add_audio(track, 1.5)
        out.mux(sorted(packets, key=lambda p: (p.dts or 0) * p.time_base))
    first = times(*read(one)[:2])[0]
    assert first > Fraction(1, 2)
    copy(one, tmp_path / name)
    assert times(*read(tmp_path / name)[:2])[0] == first
    assert sound(tmp_path / name) == sound(one)


def test_tracks_that_do_not_fit_are_announced(tmp_path: Path) -> None:
    one = write_av(tmp_path / "a.mkv", audio="libopus")
    _, writer = copy(one, tmp_path / "b.mov")
    assert len(writer.warnings) == 1
    assert "audio track opus" in writer.warnings[0]
    assert read(tmp_path / "b.mov")[0].extras.tracks == ()
    _, writer = copy(one, tmp_path / "b.y4m")
    assert "audio track opus" in writer.warnings[0]


def test_a_damaged_header_costs_its_track_alone(tmp_path: Path) -> None:
    broken = Track("audio", "aac", Fraction(1, 48000), header_format="matroska", header=b"junk")
    with Writer(tmp_path / "a.mp4", info(), Extras((broken,))) as writer:
        for picture in pictures():
            writer.write(picture)
    assert writer.problems == ["audio track aac: its header is damaged; left out"]
    assert len(read(tmp_path / "a.mp4")[1]) == 8


def test_headers_do_not_depend_on_chance(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.mp4", audio="aac")
    one, other = read(path)[0].extras, read(path)[0].extras
    assert one.to_bytes() == other.to_bytes()
    assert one.tracks[0].sample_rate == 48000
    assert one.tracks[0].layout == "stereo"
    assert one.tracks[0].codec == "aac"


def test_several_tracks_with_languages(tmp_path: Path) -> None:
    one = tmp_path / "a.mkv"
    with av.open(str(one), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        tracks = [out.add_stream("aac", rate=48000), out.add_stream("libopus", rate=48000)]
        for track, language in zip(tracks, ("deu", "eng"), strict=True):
            track.metadata["language"] = language
        tracks[1].disposition = av.stream.Disposition.default
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        packets = video.encode(frame) + video.encode(None)
        for track in tracks:
            packets += add_audio(track, 0.5)
        out.mux(sorted(packets, key=lambda p: (p.dts or 0) * p.time_base))
    first, _, packets_in = read(one)
    copy(one, tmp_path / "b.mkv")
    second, _, packets_out = read(tmp_path / "b.mkv")
    assert [t.metadata["language"] for t in second.extras.tracks] == ["deu", "eng"]
    assert [(t.codec, t.disposition) for t in second.extras.tracks] == [
        (t.codec, t.disposition) for t in first.extras.tracks
    ]
    for number in (0, 1):
        assert [(p.pts, p.data) for p in packets_out if p.track == number] == [
            (p.pts, p.data) for p in packets_in if p.track == number
        ]


# --- subtitles, attachments, chapters, metadata -------------------------------------------------

SUBTITLES = {
    "subrip": ("mkv", [b"Hallo", b"zwei\nZeilen"]),
    "webvtt": ("mkv", [b"Hallo", b"Welt"]),
    "mov_text": ("mp4", [b"\0\x05Hallo", b"\0\x04Welt"]),
}


def with_subtitles(folder: Path, codec: str) -> Path:
    suffix, texts = SUBTITLES[codec]
    path = folder / f"a.{suffix}"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        track = out.add_mux_stream(codec)
        track.time_base = Fraction(1, 1000)
        track.metadata.update({"language": "deu", "title": "Untertitel"})
        out.metadata.update({"title": "Ein Titel", "comment": "größer"})
        if suffix == "mkv":
            out.add_attachment("font.ttf", "application/x-truetype-font", bytes(range(256)))
        out.set_chapters(
            [
                {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000),
                 "metadata": {"title": "Eins"}},
                {"id": 2, "start": 500, "end": 1000, "time_base": Fraction(1, 1000),
                 "metadata": {"title": "Zwei"}},
            ]
        )  # fmt: skip
        for number in range(25):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(video.encode(frame))
            if number in (3, 12):
                packet = av.Packet(texts[number == 12])
                packet.stream, packet.time_base = track, Fraction(1, 1000)
                packet.pts = packet.dts = number * 40
                packet.duration, packet.is_keyframe = 200, True
                out.mux(packet)
        out.mux(video.encode(None))
    return path


@pytest.mark.parametrize("codec", SUBTITLES)
def test_subtitles_chapters_and_metadata(tmp_path: Path, codec: str) -> None:
    one = with_subtitles(tmp_path, codec)
    other = tmp_path / f"b{one.suffix}"
    reader, writer = copy(one, other)
    assert reader.warnings == writer.warnings == []
    first, _, packets = read(one)
    second, _, back = read(other)
    assert [p for p in packets if p.data in SUBTITLES[codec][1]]
    assert [(p.pts, p.duration, p.data) for p in back] == [
        (p.pts, p.duration, p.data) for p in packets
    ]
    assert second.extras.tracks[0].metadata == {"language": "deu", "title": "Untertitel"}
    assert second.extras.metadata == first.extras.metadata
    assert second.extras.metadata["title"] == "Ein Titel"
    assert [(c.start * c.time_base, c.metadata["title"]) for c in second.extras.chapters] == [
        (0, "Eins"), (Fraction(1, 2), "Zwei"),
    ]  # fmt: skip
    if one.suffix == ".mkv":
        attachment = second.extras.tracks[1]
        assert (attachment.kind, attachment.header) == ("attachment", bytes(range(256)))
        assert attachment.metadata["filename"] == "font.ttf"


def test_fonts_stay_with_matroska(tmp_path: Path) -> None:
    _, writer = copy(with_subtitles(tmp_path, "subrip"), tmp_path / "b.mp4")
    assert writer.warnings == [
        "mp4 cannot hold the attachment track font.ttf; it is left out (.mkv can hold it)"
    ]
    reader, shown, _ = read(tmp_path / "b.mp4")
    assert [str(track) for track in reader.extras.tracks] == ["subtitle track mov_text (deu)"]
    assert len(shown) == 25


def test_a_subtitle_on_show_where_the_part_begins(tmp_path: Path) -> None:
    one = with_subtitles(tmp_path, "subrip")  # on show 120 .. 320 ms and 480 .. 680 ms
    reader, _, packets = read(one, frames=slice(5, 13))  # 200 .. 520 ms
    assert [(p.pts, p.duration, p.data) for p in packets] == [
        (0, 120, b"Hallo"), (280, 200, b"zwei\nZeilen"),
    ]  # fmt: skip
    assert any("chapters" in warning for warning in reader.warnings)


def test_cover_art(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "cover.jpg"), "w", format="mjpeg") as out:
        still = out.add_stream("mjpeg", rate=1)
        still.width, still.height, still.pix_fmt = 32, 32, "yuvj420p"
        out.mux(still.encode(av.VideoFrame(32, 32, "yuvj420p")))
        out.mux(still.encode(None))
    cover = (tmp_path / "cover.jpg").read_bytes()
    one = tmp_path / "a.mp4"
    with av.open(str(one), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        art = out.add_mux_stream("mjpeg", width=32, height=32)
        art.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover)
        packet.stream, packet.pts, packet.dts, packet.time_base = art, 0, 0, Fraction(1, 1000)
        out.mux(packet)
        mux_gray(out, video, range(10))
    copy(one, tmp_path / "b.mp4")
    reader, shown, packets = read(tmp_path / "b.mp4")
    assert [p.data for p in packets] == [cover]
    assert reader.extras.tracks[0].kind == "video"
    assert len(shown) == 10
    assert [p.data for p in read(one, frames=slice(5, 8))[2]] == [cover]
    _, writer = copy(one, tmp_path / "b.mov")
    assert "left out (.mp4 and .mkv can hold it)" in writer.warnings[0]
    # Matroska has stills as attachments, which FFmpeg reads as stills again.
    _, writer = copy(one, tmp_path / "b.mkv")
    assert writer.warnings == writer.problems == []
    reader, shown, packets = read(tmp_path / "b.mkv")
    assert reader.extras.tracks[0].metadata == {"filename": "cover.jpg", "mimetype": "image/jpeg"}
    assert [p.data for p in packets] == [cover]
    assert len(shown) == 10
    copy(tmp_path / "b.mkv", tmp_path / "c.mkv")
    assert [p.data for p in read(tmp_path / "c.mkv")[2]] == [cover]
    copy(tmp_path / "b.mkv", tmp_path / "c.mp4")
    assert [p.data for p in read(tmp_path / "c.mp4")[2]] == [cover]


def test_pictures_and_packets_come_interleaved(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.mkv", audio="aac", count=250)
    order = []
    with Reader(path) as reader:
        for item in reader.items():
            order.append(isinstance(item, TrackPacket))
    # 469 packets and 250 pictures: a longer run of one kind would mean that it had been hoarded
    runs = "".join("p" if packet else "v" for packet in order).replace("vp", "v p").split()
    assert max(map(len, runs)) < 60
