from __future__ import annotations

import csv
import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.stream import Disposition

from roicodec.bitstream.chunks import Chunk
from roicodec.bitstream.mask_coding import encode_mask
from roicodec.bitstream.motion_section import encode_motion
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.media import Chapter, Extras, Track, TrackPacket
from roicodec.media.tracks import DISPOSITIONS
from roicodec.stream_info import PARTS, StreamInfo
from roicodec.stream_listing import csv_lines, json_lines, text_lines
from tests.conftest import make_frame, make_header

Make = Callable[..., bytes]


def listing(data: bytes) -> tuple[StreamInfo, list[str]]:
    warnings: list[str] = []
    return StreamInfo(StreamReader(io.BytesIO(data)), warnings.append), warnings


@pytest.fixture
def masked() -> bytes:
    """100x50, a grid of 7x4; ROI of 28, 7, 7 (unchanged), 0 and, intra again, 14 cells."""
    shares = [28, 7, 7, 0, 14]
    out = io.BytesIO()
    with StreamWriter(out, make_header(width=100, height=50)) as writer:
        previous = None
        for number, cells in enumerate(shares):
            mask = (np.arange(28) < cells).reshape(4, 7)
            coded = encode_mask(mask, None if number % 4 == 0 else previous)
            writer.write_frame(make_frame(number, mask=coded))
            previous = mask
    return out.getvalue()


def test_parts_and_totals(stream: Make) -> None:
    data = stream(frames=9)
    info, warnings = listing(data)
    frames = list(info.frames())
    chunks = [c for c in StreamReader(io.BytesIO(data)) if isinstance(c, Chunk)]
    coded = [c for c in chunks if c.frame]
    assert [f.bytes for f in frames] == [c.size for c in coded]
    for number, frame in enumerate(frames):
        written = make_frame(number)
        assert frame.type == ("inter" if number % 4 else "intra")
        assert (frame.quality, frame.b_roi, frame.b_bg) == (written.quality, 8, 4)
        assert frame.time == pytest.approx(written.pts / 1000)
        assert frame.sei == 4
        assert frame.motion == len(written.motion)
        assert frame.latents == 12
        assert frame.overhead == 12 + 1 + 1 + 2 + 2 + 4
    totals = info.totals
    assert (totals.frames, totals.intra) == (9, 3)
    assert totals.bytes == len(data)
    assert totals.video == sum(c.size for c in coded)
    assert totals.media == sum(c.size for c in chunks if c.type in ("TRAK", "PKT "))
    assert info.seconds() == Fraction(round(8 * 1001 / 30) + 33, 1000)
    assert info.bit_rate(totals.bytes) == pytest.approx(8 * len(data) / 0.300)
    assert len(warnings) == 1  # the fixture's tracks are none
    assert warnings[0].startswith("tracks: ")


def test_roi_share(masked: bytes) -> None:
    info, _ = listing(masked)
    assert [f.roi_share for f in info.frames()] == [1, 0.25, 0.25, 0, 0.5]
    assert info.totals.roi / info.totals.roi_frames == pytest.approx(0.4)


def test_roi_share_is_unknown_after_a_loss(masked: bytes) -> None:
    reader = StreamReader(io.BytesIO(masked))
    lost = next(i for i in reader if isinstance(i, Chunk) and i.number == 1)
    info, warnings = listing(masked[: lost.offset] + masked[lost.offset + lost.size :])
    assert [f.roi_share for f in info.frames()] == [1, None, None, 0.5]
    assert info.totals.lost == 1
    assert "frame 1 missing" in warnings[0]


def test_shares_of_skip_and_of_new_content_are_the_encoder_s() -> None:
    """After an intra frame there is no map before, which is not an empty map."""
    shares = [0, 20, 9, 9, 0, 25]
    still = np.zeros((8, 14, 2), np.int16)
    out = io.BytesIO()
    with StreamWriter(out, make_header(width=100, height=50)) as writer:
        previous = None
        for number, cells in enumerate(shares):
            skip = (np.arange(28) < cells).reshape(4, 7)
            intra = number % 4 == 0
            new = np.arange(28).reshape(4, 7) >= 28 - number
            coded = b"" if intra else encode_motion(skip, previous, still, None, new)
            writer.write_frame(make_frame(number, mask=b"", motion=coded))
            previous = None if intra else skip
    info, warnings = listing(out.getvalue())
    frames = list(info.frames())
    assert [f.skip_share for f in frames] == [cells / 28 for cells in shares]
    assert [f.unmatched_share for f in frames] == [0, 1 / 28, 2 / 28, 3 / 28, 0, 5 / 28]
    assert not warnings


def test_a_mask_that_cannot_be_decoded_is_reported() -> None:
    out = io.BytesIO()
    with StreamWriter(out, make_header(width=1024, height=768)) as writer:
        writer.write_frame(make_frame(0, mask=b"\xff" * 400))
    info, warnings = listing(out.getvalue())
    (frame,) = info.frames()
    assert frame.roi_share is None
    assert warnings == ["mask of frame 0: entropy-coded section is damaged"]
    assert info.totals.bytes == len(out.getvalue())


@pytest.mark.parametrize("at", range(0, 900, 7))
def test_bytes_add_up_whatever_is_damaged(stream: Make, at: int) -> None:
    data = bytearray(stream(frames=9))
    start = StreamReader(io.BytesIO(bytes(data))).header_size
    data[start + at % (len(data) - start)] ^= 0x55
    for piece in (data, data + b"more", data[: start + at]):
        info, warnings = listing(bytes(piece))
        frames = list(info.frames())
        assert info.totals.bytes == len(piece)
        assert sum(f.bytes for f in frames) == info.totals.video
        assert warnings or info.totals.truncated


def test_json(masked: bytes) -> None:
    info, _ = listing(masked)
    found = json.loads("\n".join(json_lines(info, frames=True)))
    assert found["header"]["candidates"][0] == {"bits": 4, "offset": -3}
    assert found["header"]["model_id"] == bytes(range(16)).hex()
    assert found["header"]["frame_rate"] == "30000/1001"
    assert len(found["frames"]) == 5
    assert found["frames"][1]["roi_share"] == 0.25
    assert found["totals"]["bytes"] == len(masked)
    assert sum(found["totals"]["bytes_by_part"].values()) == len(masked)
    info, _ = listing(masked)
    short = json.loads("\n".join(json_lines(info, frames=False)))
    del found["frames"]
    assert short == found


def test_csv(masked: bytes) -> None:
    info, _ = listing(masked)
    rows = list(csv.DictReader(csv_lines(info)))
    assert [r["type"] for r in rows] == ["intra", "inter", "inter", "inter", "intra"]
    assert sum(int(r[part]) for r in rows for part in PARTS) == info.totals.video
    assert [float(r["roi_share"]) for r in rows] == [1, 0.25, 0.25, 0, 0.5]


def test_text(masked: bytes) -> None:
    info, _ = listing(masked)
    lines = list(text_lines(info, frames=True))
    rows = [line.split() for line in lines if " intra " in line or " inter " in line]
    assert [r[7] for r in rows] == ["100.0%", "25.0%", "25.0%", "0.0%", "50.0%"]
    assert f"stream      {len(masked)} bytes" in "\n".join(lines)
    assert "ROI 40.0% of the picture" in lines[-1]
    info, _ = listing(masked)
    short = list(text_lines(info, frames=False))
    assert [line for line in lines if line and line in short] == [s for s in short if s]


def test_a_stream_without_frames(stream: Make) -> None:
    for lines in (
        list(text_lines(listing(stream(frames=0))[0], frames=True)),
        list(json_lines(listing(stream(frames=0))[0], frames=True)),
        list(csv_lines(listing(stream(frames=0))[0])),
    ):
        assert lines


def test_unknown_duration() -> None:
    out = io.BytesIO()
    with StreamWriter(out, make_header(frame_rate=Fraction(0))) as writer:
        writer.write_frame(make_frame(0, duration=0))
    info, _ = listing(out.getvalue())
    assert list(info.frames())
    assert info.bit_rate(1000) is None
    assert list(text_lines(info, frames=False))


def test_command_imports_neither_torch_nor_av_and_starts_in_a_blink(
    masked: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.rq"
    path.write_bytes(masked)
    script = (
        "import sys\n"
        "from roicodec.cli import main\n"
        f"try: main(['info', '--frames', {str(path)!r}])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'av', 'cv2', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.returncode == 0, run.stderr
    assert f"stream      {len(masked)} bytes" in run.stdout
    assert end.ru_utime - start.ru_utime < 1


# --- tracks, chapters, tags, colour ------------------------------------------------------------


@pytest.fixture
def tracked() -> bytes:
    """Audio with three packets, a font, a chapter, tags, and a property."""
    audio = Track(
        "audio", "aac", Fraction(1, 48000), 1, {"language": "deu", "title": "Ton\x1b[31m"},
        "matroska", b"header", 48000, "stereo", 128_000,
    )  # fmt: skip
    font = Track("attachment", "", Fraction(1, 1000), 0, {"filename": "a.ttf"}, header=b"font!")
    extras = Extras(
        (audio, font), {"title": "Film"}, {"language": "deu"},
        (Chapter(1, 0, 90_500, Fraction(1, 1000), {"title": "Eins"}),),
        properties={"field_order": "tt"},
    )  # fmt: skip
    out = io.BytesIO()
    with StreamWriter(out, make_header(color_matrix=9, color_transfer=16)) as writer:
        writer.write_track(extras.to_bytes())
        for number in range(3):
            writer.write_packet(TrackPacket(0, number, number, 1, True, b"12345").to_bytes())
            writer.write_frame(make_frame(number))
    return out.getvalue()


def test_contents_as_text(tracked: bytes) -> None:
    info, warnings = listing(tracked)
    text = "\n".join(text_lines(info, frames=False))
    size = info.contents.bytes[0]
    line = f'audio track aac (deu), "Ton\x1b[31m", 48000 Hz stereo, 3 packets, {size} bytes'
    assert f"track 0     {line}" in text
    assert "track 1     attachment track a.ttf, 5 bytes" in text
    assert "chapter 0   0:00:00.000 to 0:01:30.500  Eins" in text
    assert "tag         title = Film" in text
    assert "video tag   language = deu" in text
    assert "property    field_order = tt" in text
    assert "matrix bt2020nc" in text
    assert "transfer smpte2084" in text
    assert not warnings


def test_contents_as_json(tracked: bytes) -> None:
    found = json.loads("".join(json_lines(listing(tracked)[0], frames=True)))
    assert found["header"]["color"]["matrix"] == "bt2020nc"
    contents = found["contents"]
    audio, font = contents["tracks"]
    assert (audio["kind"], audio["codec"], audio["language"], audio["packets"]) == (
        "audio", "aac", "deu", 3,
    )  # fmt: skip
    assert (audio["title"], audio["sample_rate"]) == ("Ton\x1b[31m", 48000)
    assert (font["kind"], font["file_name"], font["bytes"]) == ("attachment", "a.ttf", 5)
    assert contents["chapters"] == [{"start": 0.0, "end": 90.5, "title": "Eins"}]
    assert contents["tags"] == {"title": "Film"}
    assert contents["properties"] == {"field_order": "tt"}


def test_contents_that_are_damaged_are_told(tracked: bytes) -> None:
    extras = Extras(chapters=(Chapter(7, 5, 2, Fraction(1, 1000)),))
    out = io.BytesIO()
    with StreamWriter(out, make_header()) as writer:
        writer.write_track(extras.to_bytes())
        writer.write_frame(make_frame(0))
    info, warnings = listing(out.getvalue())
    list(info.frames())
    assert warnings == ["chapter 7: 5 to 2 is not a time span; left out"]


def test_dispositions_are_those_of_ffmpeg() -> None:
    assert sum(Disposition) == DISPOSITIONS


def test_every_field_of_the_json_is_documented(tracked: bytes) -> None:
    page = (Path(__file__).parents[2] / "docs" / "info.md").read_text(encoding="utf-8")

    def names(value: object) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(names, value))
        if isinstance(value, dict):
            return {*value, *names(list(value.values()))}
        return set()

    found = json.loads("".join(json_lines(listing(tracked)[0], frames=True)))
    for tags in ("tags", "video_tags", "properties"):
        found["contents"][tags] = {}
    assert [name for name in sorted(names(found)) if f"`{name}`" not in page] == []


def test_tracks_are_listed_without_av(tracked: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.rq").write_bytes(tracked)
    script = (
        "import sys\n"
        "from roicodec.cli import main\n"
        "try: main(['info', sys.argv[1]])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'av', 'cv2', 'scipy', 'safetensors'} & set(sys.modules)\n"
        "layers = {name.split('.')[1] for name in sys.modules if name.startswith('roicodec.')}\n"
        "assert not layers & {'decoder', 'encoder', 'evaluate', 'networks', 'output'}, layers\n"
        "assert 'roicodec.cli.encode' not in sys.modules\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.rq")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "track 1     attachment track a.ttf" in done.stdout
