"""Audio and subtitles that a container cannot hold as they are; properties of the pictures."""

from __future__ import annotations

import io
import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.subtitles.stream import SubtitleStream

from roicodec.errors import InputError
from roicodec.media import Writer
from roicodec.media.info import VideoInfo
from roicodec.media.properties import properties_of, with_properties
from roicodec.media.subtitles import TextLane
from roicodec.media.tracks import Problems
from tests.media.test_tracks import with_subtitles
from tests.media_clips import copy, info, mux_gray, mux_text, pictures, read, write_av

DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
LIGHT = "1000,400"


def waves(path: Path) -> np.ndarray:
    """Samples of the first channel, as float, from the first that there is."""
    with av.open(str(path)) as file:
        resampler = av.AudioResampler("fltp", "mono", 48000)
        frames = [r for f in file.decode(audio=0) for r in resampler.resample(f)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def kind_of(path: Path, number: int = 1) -> tuple[str, Fraction]:
    """Codec and start of a track."""
    with av.open(str(path)) as file:
        stream = file.streams[number]
        assert stream.start_time is not None
        assert stream.time_base is not None
        return stream.codec_context.codec.canonical_name, stream.start_time * stream.time_base


# --- audio -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("audio", "suffix"), [("wmav2", "wmv"), ("adpcm_ms", "avi")])
def test_audio_that_no_container_here_holds(tmp_path: Path, audio: str, suffix: str) -> None:
    one = write_av(tmp_path / f"a.{suffix}", audio=audio, codec="mpeg4", count=25)
    for name in ("b.mkv", "b.mp4", "b.mov"):
        reader, writer = copy(one, tmp_path / name)
        assert reader.warnings == writer.problems == []
        assert [str(track) for track in reader.extras.tracks] == [f"audio track {audio}"]
        assert writer.warnings == [
            f"none of .mkv, .mp4 and .mov can hold the audio track {audio} as it is; it is left"
            " out (audio coded anew, as AAC, FLAC or Opus, can be held)"
        ]
        assert len(read(tmp_path / name)[1]) == 25


@pytest.mark.parametrize("codec", ["aac", "flac"])
@pytest.mark.parametrize("name", ["b.mkv", "b.mp4"])
@pytest.mark.parametrize(
    ("audio", "suffix"), [("wmav2", "wmv"), ("adpcm_ms", "avi"), ("pcm_s24le", "mkv")]
)
def test_audio_coded_anew(tmp_path: Path, audio: str, suffix: str, name: str, codec: str) -> None:
    one = write_av(tmp_path / f"a.{suffix}", audio=audio, codec="mpeg4", count=50)
    reader, writer = copy(one, tmp_path / name, audio_codec=codec)
    assert reader.warnings == writer.warnings == writer.problems == []
    assert kind_of(tmp_path / name)[0] == codec
    before, after = waves(one), waves(tmp_path / name)
    assert abs(len(before) - len(after)) < 3000
    if codec == "flac":
        assert np.abs(before - after[: len(before)]).max() < 1e-6  # WMA decodes to floats
    else:
        power = [float(np.sqrt(np.mean(w[4000:80000] ** 2))) for w in (before, after)]
        assert power[0] == pytest.approx(power[1], rel=0.05)


def test_audio_that_is_so_already_stays(tmp_path: Path) -> None:
    one = write_av(tmp_path / "a.mp4", audio="aac", count=25)
    copy(one, tmp_path / "b.mp4", audio_codec="aac")
    before, after = (read(tmp_path / n)[2] for n in ("a.mp4", "b.mp4"))
    assert [p.data for p in before] == [p.data for p in after]


def test_a_gap_stays_where_it_is(tmp_path: Path) -> None:
    one = tmp_path / "a.mkv"
    plain = write_av(tmp_path / "plain.mkv", audio="pcm_s16le", count=50)
    with av.open(str(plain)) as source, av.open(str(one), "w") as out:
        streams = [out.add_stream_from_template(s, opaque=True) for s in source.streams]
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                if packet.stream_index == 1 and (packet.pts or 0) > 1000:  # of 1/1000 s
                    packet.pts, packet.dts = (packet.pts or 0) + 5000, (packet.dts or 0) + 5000
                out.mux(packet)
    copy(one, tmp_path / "b.mkv", audio_codec="aac")
    with av.open(str(tmp_path / "b.mkv")) as file:
        times = [p.pts * p.time_base for p in file.demux(audio=0) if p.pts is not None]
    gaps = [(a, b - a) for a, b in itertools.pairwise(times) if b - a > 1]
    assert len(gaps) == 1
    assert abs(gaps[0][0] - 1) < Fraction(1, 10)
    assert abs(gaps[0][1] - 5) < Fraction(1, 10)


def test_audio_options_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'mp3' is unknown"):
        Writer(tmp_path / "a.mp4", info(), audio_codec="mp3")
    with pytest.raises(InputError, match="do not apply"):
        Writer(tmp_path / "a.y4m", info(), audio_codec="aac")
    assert list(tmp_path.iterdir()) == []


def test_the_header_of_texts_ends_with_a_zero(tmp_path: Path) -> None:
    """FFmpeg's encoders of texts read on until there is one; a sanitizer saw them do it."""
    reader, _, _ = read(with_subtitles(tmp_path, "subrip"))
    lane = TextLane(reader.extras.tracks[0], "mp4", Problems())
    with av.open(io.BytesIO(), "w", format="mp4") as out:
        stream = lane.add_to(out)
        assert isinstance(stream, SubtitleStream)
        header = stream.codec_context.subtitle_header
        assert header is not None
        assert header.endswith(b"\0")
        lane.close()


# --- subtitles -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "name", "target"),
    [
        ("subrip", "b.mp4", "mov_text"),
        ("webvtt", "b.mp4", "mov_text"),
        ("mov_text", "b.mkv", "subrip"),
    ],
)
def test_texts_are_converted(tmp_path: Path, codec: str, name: str, target: str) -> None:
    one = with_subtitles(tmp_path, codec)
    _, writer = copy(one, tmp_path / name)
    assert writer.problems == []
    assert not any("subtitle" in warning for warning in writer.warnings)
    reader, _, packets = read(tmp_path / name)
    track = reader.extras.tracks[0]
    assert (track.codec, track.metadata["language"]) == (target, "deu")
    begins = [p.pts * track.time_base for p in packets if len(p.data) > 2 and p.pts is not None]
    assert begins == [Fraction(3, 25), Fraction(12, 25)]
    texts = b"|".join(p.data for p in packets)
    assert b"Hallo" in texts
    # and back
    copy(tmp_path / name, tmp_path / f"c{one.suffix}")
    again = [p.data for p in read(tmp_path / f"c{one.suffix}")[2] if len(p.data) > 2]
    assert b"Hallo" in again[0]
    assert len(again) == 2


def test_styles_that_are_lost_are_told(tmp_path: Path) -> None:
    one = tmp_path / "a.mkv"
    header = (
        b"[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\nFormat: Name, Fontname,"
        b" Fontsize\r\nStyle: Default,Arial,16\r\n\r\n[Events]\r\nFormat: Layer, Start, End,"
        b" Style, Name, MarginL, MarginR, MarginV, Effect, Text\r\n"
    )
    with av.open(str(one), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        track = out.add_stream("ass")
        track.codec_context.subtitle_header = header
        track.codec_context.time_base = track.time_base = Fraction(1, 1000)
        out.start_encoding()
        mux_gray(out, video, range(10))
        mux_text(out, track, b"0,0,Default,,0,0,0,,{\\i1}Hallo{\\i0} Welt", pts=40, duration=200)
    _, writer = copy(one, tmp_path / "b.mp4")
    assert writer.warnings == [
        "mp4 holds subtitles without styles: the subtitle track ass becomes mov_text"
    ]
    packets = [p for p in read(tmp_path / "b.mp4")[2] if len(p.data) > 2]
    assert b"Hallo Welt" in packets[0].data
    _, writer = copy(one, tmp_path / "b.mkv")
    assert writer.warnings == []
    assert b"{\\i1}" in read(tmp_path / "b.mkv")[2][0].data


# --- properties of the pictures --------------------------------------------------------------


def written(path: Path, fields: dict[str, object], **options: object) -> Writer:
    with Writer(path, info(**fields), **options) as writer:  # type: ignore[arg-type]
        for picture in pictures():
            writer.write(picture)
    return writer


@pytest.mark.parametrize("order", ["tt", "bb"])
@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.mkv", "ffv1"), ("a.mov", "libx264")],
)
def test_field_order(tmp_path: Path, order: str, name: str, codec: str) -> None:
    writer = written(tmp_path / name, {"field_order": order}, codec=codec)
    assert writer.warnings == writer.problems == []
    reader, shown, _ = read(tmp_path / name)
    assert reader.info.field_order == order
    assert reader.extras.properties == {"field_order": order}
    assert any("interlaced" in warning for warning in reader.warnings)
    assert len(shown) == 8
    # carried once more, and into y4m
    copy(tmp_path / name, tmp_path / "b.y4m")
    assert f" I{order[0]} " in (tmp_path / "b.y4m").read_bytes()[:100].decode("latin-1")
    assert read(tmp_path / "b.y4m")[0].info.field_order == order


def test_field_order_that_cannot_be_said(tmp_path: Path) -> None:
    writer = written(tmp_path / "a.mp4", {"field_order": "tt"}, codec="libx265")
    assert "(top field first)" in writer.warnings[0]
    with Writer(tmp_path / "b.mp4", info(64, 46, field_order="bb")) as writer:
        for picture in pictures(64, 46):
            writer.write(picture)
    assert len(read(tmp_path / "b.mp4")[1]) == 8


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx265"), ("a.mp4", "libsvtav1")]
)
def test_light_of_hdr10(tmp_path: Path, name: str, codec: str) -> None:
    fields: dict[str, object] = {
        "mastering_display": DISPLAY, "content_light": LIGHT, "color_transfer": 16,
        "color_primaries": 9, "color_matrix": 9, "color_range": 1,
    }  # fmt: skip
    writer = written(tmp_path / name, fields, codec=codec)
    assert writer.warnings == writer.problems == []
    reader = read(tmp_path / name)[0]
    assert reader.info.content_light == LIGHT
    if codec != "libsvtav1":
        assert reader.info.mastering_display == DISPLAY
    else:  # which rounds, to fractions of two
        assert reader.info.mastering_display.startswith("G(132")
    assert reader.extras.properties["content_light"] == LIGHT


def test_light_that_cannot_be_said(tmp_path: Path) -> None:
    fields: dict[str, object] = {"mastering_display": DISPLAY}
    writer = written(tmp_path / "a.mkv", fields, codec="ffv1")
    assert writer.warnings == ["ffv1 cannot state the light of HDR10; it is left out"]
    writer = written(tmp_path / "a.y4m", fields)
    assert writer.warnings == ["y4m cannot state the light of HDR10; it is left out"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mastering_display", DISPLAY + ":crf=51"),
        ("mastering_display", "G(1,2)"),
        ("content_light", "1000"),
        ("content_light", "1" * 11 + ",1"),
        ("field_order", "xx"),
        ("width", "17"),
    ],
)
def test_properties_of_a_stream_are_checked(name: str, value: str) -> None:
    refused: list[str] = []
    given = info()
    assert with_properties(given, {name: value}, refused.append) == given
    assert refused == [f"property {name!r} of the pictures is unknown or malformed; left out"]
    sound = VideoInfo(64, 48, Fraction(1, 25), field_order="bb", content_light=LIGHT)
    assert with_properties(given, properties_of(sound), refused.append).content_light == LIGHT


def test_transparency_goes_with_its_tag(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        video.metadata["alpha_mode"] = "1"
        mux_gray(out, video, range(4))
    with av.open(str(path)) as file:
        assert any(key.lower() == "alpha_mode" for key in file.streams.video[0].metadata)
    reader = read(path)[0]
    assert reader.warnings == ["transparency is dropped"]
    assert not any(key.lower() == "alpha_mode" for key in reader.extras.video_metadata)


def test_timecode_is_carried_without_a_word(tmp_path: Path) -> None:
    one = tmp_path / "a.mov"
    with av.open(str(one), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        video.metadata["timecode"] = "01:02:03:04"
        mux_gray(out, video, range(8))
    with av.open(str(one)) as file:
        assert [stream.type for stream in file.streams] == ["video", "data"]
    for name in ("b.mov", "b.mp4", "b.mkv"):
        reader, writer = copy(one, tmp_path / name)
        assert reader.warnings == writer.warnings == writer.problems == []
        with av.open(str(tmp_path / name)) as file:
            found = {**file.metadata, **file.streams.video[0].metadata}
            assert {k.lower(): v for k, v in found.items()}["timecode"] == "01:02:03:04"
