"""Attachments, tags and packets that are too large for a stream: they never cost the film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from roicodec.bitstream.constants import MAX_CHUNK
from roicodec.encoder.options import EncoderOptions
from roicodec.media import Reader, contents
from roicodec.segments import sequential
from roicodec.transcode import Listener, decode_stream, encode_video
from tests.fake_codec import FakeFactory
from tests.media_clips import mux_gray, mux_text

FRAMES = 5


class Lines(Listener):
    """Warnings."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, message: str) -> None:
        self.lines.append(message)


def film(
    path: Path, fonts: list[int], tags: dict[str, str] | None = None, text: bytes = b""
) -> Path:
    """A Matroska film with attachments of some sizes, tags, and a subtitle if there is a text."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        out.metadata.update(tags or {})
        track = out.add_mux_stream("subrip") if text else None
        for number, size in enumerate(fonts):
            out.add_attachment(f"{number}.ttf", "application/x-truetype-font", bytes(size))
        if track is not None:
            track.time_base = Fraction(1, 1000)
            out.start_encoding()
            mux_text(out, track, text, 0, 40)
            mux_text(out, track, b"small", 80, 40)
        mux_gray(out, video, range(FRAMES))
    return path


def there_and_back(source: Path) -> tuple[Reader, list[str]]:
    """A film after encoding and decoding, and the warnings of the encode."""
    listener, stream, back = Lines(), source.with_suffix(".rq"), source.with_suffix(".back.mkv")
    with stream.open("wb") as out:
        encode_video(
            str(source), out, EncoderOptions(), None, listener=listener, factory=FakeFactory()
        )
    with stream.open("rb") as file:
        report = decode_stream(file, str(back), factory=FakeFactory())
    assert (report.frames, report.damages) == (FRAMES, 0)
    with Reader(back) as reader:
        assert len(list(reader)) == FRAMES
    return reader, listener.lines


def test_a_film_with_75_mb_of_fonts(tmp_path: Path) -> None:
    reader, warnings = there_and_back(film(tmp_path / "a.mkv", [25_000_000] * 3))
    assert warnings == [
        "attachment track 3 (2.ttf, 24 MiB) is left out: tracks, attachments and tags of more than"
        " 48 MiB in all do not fit in a stream"
    ]
    names = [track.metadata["filename"] for track in reader.extras.tracks]
    assert names == ["0.ttf", "1.ttf"]
    assert all(track.header == bytes(25_000_000) for track in reader.extras.tracks)


def test_what_fits_behind_what_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_MAX_EXTRAS", 10_000)
    tags = {"title": "short", "comment": "long" * 3000}
    source = film(tmp_path / "a.mkv", [4000, 9000, 100, 6000], tags)
    reader, warnings = there_and_back(source)
    assert [track.metadata["filename"] for track in reader.extras.tracks] == ["0.ttf", "2.ttf"]
    assert reader.extras.metadata["title"] == "short"
    assert "comment" not in reader.extras.metadata
    named = [line.partition(" is left out")[0].lower() for line in warnings]
    assert named == [
        "tag comment of the file",
        "attachment track 2 (1.ttf, 0 mib)",
        "attachment track 4 (3.ttf, 0 mib)",
    ]


def test_extras_of_any_size_fit_in_a_chunk() -> None:
    assert contents._MAX_EXTRAS + (1 << 20) < MAX_CHUNK


def test_a_packet_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "MAX_CHUNK", 2 << 20)
    source = film(tmp_path / "a.mkv", [], text=b"x" * (3 << 20))
    reader, warnings = there_and_back(source)
    assert warnings == ["a packet of 3 MiB of the subtitle track subrip is left out"]
    assert [track.codec for track in reader.extras.tracks] == ["subrip"]
