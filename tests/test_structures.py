"""Pyramids through every door of the package, whole and with losses."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import roicodec
from roicodec.bitstream.chunks import Chunk
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.cli.commands import cli
from roicodec.media import Reader, VideoInfo, Writer
from tests import tiny_model

WIDTH, HEIGHT, COUNT = 64, 48, 12
OPTIONS = roicodec.EncoderOptions(
    quality=30, gop=7, effort=1, structure="4", time_base=Fraction(1, 10)
)
CODED = [0, 4, 2, 1, 3, 6, 5, 7, 11, 9, 8, 10]
"""Numbers in the order of coding: a pyramid, what is left of one before an intra frame, another."""
KINDS = [
    "intra", *["bidirectional"] * 3, "inter", "bidirectional", "inter",
    "intra", *["bidirectional"] * 3, "inter",
]  # fmt: skip
LOSSES = {
    1: {1},
    2: {1, 2, 3},
    4: {1, 2, 3, 4, 5, 6},
    5: {5},
    6: {5, 6},
    0: {0, 1, 2, 3, 4, 5, 6},
    10: {10},
    11: {8, 9, 10, 11},
}
"""What is missing when a frame is lost: a leaf alone, a reference with all that need it."""


@pytest.fixture(scope="module", autouse=True)
def _weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("weights")
    tiny_model.save(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROICODEC_WEIGHTS", str(folder))
        yield


@pytest.fixture(scope="module")
def pictures() -> list[roicodec.Picture]:
    return tiny_model.pictures(WIDTH, HEIGHT, COUNT)


@pytest.fixture(scope="module")
def data(pictures: list[roicodec.Picture]) -> bytes:
    encoder = roicodec.Encoder(WIDTH, HEIGHT, OPTIONS, roi=lambda p: p.y > 140)
    return b"".join(piece for p in [*pictures, None] for piece in encoder.encode(p))


@pytest.fixture(scope="module")
def whole(data: bytes) -> list[roicodec.DecodedPicture]:
    with roicodec.open(io.BytesIO(data)) as video:
        return list(video)


def chunks(data: bytes) -> list[Chunk]:
    return [i for i in StreamReader(io.BytesIO(data)) if isinstance(i, Chunk) and i.frame]


def damaged(data: bytes, shown: int) -> bytes:
    """The stream with one frame spoilt beyond mending, by its number as shown."""
    chunk = chunks(data)[CODED.index(shown)]
    middle = chunk.offset + chunk.size // 2
    return data[:middle] + bytes(b ^ 0xFF for b in data[middle : middle + 4]) + data[middle + 4 :]


def assert_same(one: roicodec.DecodedPicture, other: roicodec.DecodedPicture) -> None:
    assert (one.number, one.pts, one.kind) == (other.number, other.pts, other.kind)
    for a, b in zip(one.picture.planes, other.picture.planes, strict=True):
        np.testing.assert_array_equal(a, b)


# --- order ----------------------------------------------------------------------------------


def test_frames_are_coded_in_the_order_of_the_structure(data: bytes) -> None:
    found = [c.number + c.frame.place.shift for c in chunks(data) if c.frame]
    assert found == CODED


def test_pictures_come_in_the_order_in_which_they_are_shown(
    pictures: list[roicodec.Picture], whole: list[roicodec.DecodedPicture]
) -> None:
    assert [p.number for p in whole] == list(range(COUNT))
    assert [p.kind for p in whole] == KINDS
    for made, original in zip(whole, pictures, strict=True):
        assert made.pts == original.pts
        assert np.abs(made.y.astype(int) - original.y).mean() < 12


@pytest.mark.parametrize("step", [1, 97, 700, 1 << 20])
def test_pushed_bytes_give_the_same_pictures(
    data: bytes, whole: list[roicodec.DecodedPicture], step: int
) -> None:
    decoder = roicodec.Decoder()
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    found = [p for piece in [*pieces, None] for p in decoder.decode(piece)]
    assert len(found) == COUNT
    for one, other in zip(found, whole, strict=True):
        assert_same(one, other)


def test_a_picture_is_given_as_soon_as_those_before_it_are(data: bytes) -> None:
    """After a whole chunk: an intra frame at once, the last of a pyramid when its leaves are."""
    decoder, given = roicodec.Decoder(), []
    ends = [c.offset + c.size for c in chunks(data)]
    for start, end in zip([0, *ends], ends, strict=False):
        given.append([p.number for p in decoder.decode(data[start:end])])
    assert given == [[0], [], [], [1, 2], [3, 4], [], [5, 6], [7], [], [], [8, 9], [10, 11]]


def test_an_encoder_waits_for_a_pyramid(pictures: list[roicodec.Picture]) -> None:
    encoder = roicodec.Encoder(WIDTH, HEIGHT, OPTIONS)
    pieces = [b"".join(encoder.encode(p)) for p in [*pictures, None]]
    full = [n for n, piece in enumerate(pieces) if piece]
    assert full == [0, 4, 7, 11, 12]


# --- sequences ------------------------------------------------------------------------------


def test_any_picture_by_its_number(data: bytes, whole: list[roicodec.DecodedPicture]) -> None:
    with roicodec.open(io.BytesIO(data)) as video:
        assert len(video) == COUNT
        for number in (5, 0, 1, 3, 2, 11, 6, 8, -1, 7, 4):
            assert_same(video[number], whole[number])
        assert [p.number for p in video[2:11:4]] == [2, 6, 10]
        # A picture that waits is not shown twice, and those after it are.
        assert_same(video[2], whole[2])
        assert [p.number for p in video] == list(range(3, COUNT))


@pytest.mark.parametrize(
    ("seconds", "number"),
    [
        (-1.0, 0),
        (0.0, 0),
        (0.1, 1),
        (0.15, 1),
        (0.2, 2),
        (0.45, 4),
        (0.69, 6),
        (0.71, 7),
        (99.0, 11),
    ],
)
def test_seeking_goes_by_the_time_at_which_frames_are_shown(
    data: bytes, whole: list[roicodec.DecodedPicture], seconds: float, number: int
) -> None:
    with roicodec.open(io.BytesIO(data)) as video:
        assert_same(video[9], whole[9])
        video.seek(seconds)
        found = list(video)
    assert [p.number for p in found] == list(range(number, COUNT))
    for picture in found:
        assert_same(picture, whole[picture.number])


def test_seeking_a_picture_that_is_lost_gives_the_next(
    data: bytes, whole: list[roicodec.DecodedPicture]
) -> None:
    with roicodec.open(io.BytesIO(damaged(data, 5)), errors="skip") as video:
        for seconds in (0.55, 0.65):
            video.seek(seconds)
            picture = video.read()
            assert picture is not None
            assert_same(picture, whole[4 if seconds < 0.6 else 6])


def test_asking_for_the_length_loses_no_frame(data: bytes) -> None:
    """The reader has looked ahead for a frame that is missing."""
    with roicodec.open(io.BytesIO(damaged(data, 1)), errors="skip") as video:
        found = []
        for picture in video:
            assert len(video) == COUNT
            found.append(picture.number)
    assert found == [0, *range(2, COUNT)]


# --- losses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [0, 4])
def test_a_number_that_is_shown_twice_is_a_damage(
    data: bytes, whole: list[roicodec.DecodedPicture], again: int, tmp_path: Path
) -> None:
    """The leaf that should be number 1 says that it is another one, shown or waiting."""
    out = io.BytesIO()
    with StreamWriter(out, StreamReader(io.BytesIO(data)).header) as writer:
        for chunk, shown in zip(chunks(data), CODED, strict=True):
            frame = chunk.frame
            assert frame is not None
            if shown == 1:
                shift = frame.place.shift + again - shown
                frame = replace(frame, place=replace(frame.place, shift=shift))
            writer.write_frame(frame)
    message = f"shown as number {again}, which has had its turn"
    with roicodec.open(io.BytesIO(out.getvalue()), errors="skip") as video:
        found = list(video)
        assert message in "".join(video.damages)
    assert [p.number for p in found] == [0, *range(2, COUNT)]
    for picture in found:
        assert_same(picture, whole[picture.number])
    assert message in "".join(roicodec.info(io.BytesIO(out.getvalue())).damages)
    done = roicodec.decode(io.BytesIO(out.getvalue()), tmp_path / "a.y4m")
    assert (done.frames, done.lost) == (COUNT - 1, 1)


@pytest.mark.parametrize("lost", LOSSES)
def test_a_lost_frame_costs_those_that_need_it(
    data: bytes, whole: list[roicodec.DecodedPicture], lost: int
) -> None:
    with roicodec.open(io.BytesIO(damaged(data, lost)), errors="skip") as video:
        found = list(video)
        assert video.damages
    assert {p.number for p in whole} - {p.number for p in found} == LOSSES[lost]
    assert [p.number for p in found] == sorted(p.number for p in found)
    for picture in found:
        assert_same(picture, whole[picture.number])


@pytest.mark.parametrize("lost", LOSSES)
def test_a_frame_that_needs_a_lost_one_cannot_be_had_by_number(
    data: bytes, whole: list[roicodec.DecodedPicture], lost: int
) -> None:
    with roicodec.open(io.BytesIO(damaged(data, lost)), errors="skip") as video:
        for number in range(COUNT):
            if number in LOSSES[lost]:
                with pytest.raises(roicodec.StreamError, match="cannot be decoded"):
                    video[number]
            else:
                assert_same(video[number], whole[number])


def test_a_damage_is_raised_where_it_is_not_skipped(data: bytes) -> None:
    with roicodec.open(io.BytesIO(damaged(data, 5))) as video:
        seen = [picture.number for picture in islice(video, 5)]
        assert seen == [0, 1, 2, 3, 4]
        with pytest.raises(roicodec.StreamError):
            video.read()


@pytest.mark.parametrize("lost", LOSSES)
def test_a_damaged_file_is_decoded_but_for_what_is_lost(
    data: bytes, whole: list[roicodec.DecodedPicture], tmp_path: Path, lost: int
) -> None:
    stream, back = tmp_path / "a.rq", tmp_path / "out.y4m"
    stream.write_bytes(damaged(data, lost))
    report = roicodec.decode(stream, back)
    assert report.lost == len(LOSSES[lost])
    assert report.frames == COUNT - report.lost
    assert report.damages >= 1
    with Reader(str(back)) as reader:
        found = [p.y for p in reader.items() if isinstance(p, roicodec.Picture)]
    kept = [p for p in whole if p.number not in LOSSES[lost]]
    for y, picture in zip(found, kept, strict=True):
        np.testing.assert_array_equal(y, picture.y)


# --- files and commands ---------------------------------------------------------------------


@pytest.mark.parametrize("structure", ["4", "8", "16"])
def test_files_there_and_back(
    pictures: list[roicodec.Picture], tmp_path: Path, structure: str
) -> None:
    clip, stream, back = (tmp_path / name for name in ("in.y4m", "a.rq", "out.y4m"))
    with Writer(str(clip), VideoInfo(WIDTH, HEIGHT, Fraction(1, 10), Fraction(10))) as writer:
        for picture in pictures:
            writer.write(picture)
    options = replace(OPTIONS, structure=structure, gop=40)
    assert roicodec.encode(clip, stream, options).frames == COUNT
    assert roicodec.decode(stream, back).frames == COUNT
    with roicodec.open(stream) as video, Reader(str(back)) as reader:
        for made, read in zip(video, reader.items(), strict=True):
            assert isinstance(read, roicodec.Picture)
            assert made.pts == pictures[made.number].pts
            np.testing.assert_array_equal(read.y, made.y)


def test_the_command_line_decodes_and_lists_pyramids(
    data: bytes, whole: list[roicodec.DecodedPicture], tmp_path: Path
) -> None:
    stream, back = tmp_path / "a.rq", tmp_path / "out.y4m"
    stream.write_bytes(data)
    done = CliRunner().invoke(cli, ["decode", str(stream), str(back), "--quiet"])
    assert done.exit_code == 0, done.output
    with Reader(str(back)) as reader:
        found = [p.y for p in reader.items() if isinstance(p, roicodec.Picture)]
    for y, picture in zip(found, whole, strict=True):
        np.testing.assert_array_equal(y, picture.y)
    done = CliRunner().invoke(cli, ["info", str(stream), "--frames", "--json"])
    assert done.exit_code == 0, done.output
    listing = json.loads(done.output)
    assert [f["number"] for f in listing["frames"]] == CODED
    assert {f["number"]: f["type"] for f in listing["frames"]} == dict(enumerate(KINDS))
    layers = {f["number"]: f["layer"] for f in listing["frames"]}
    assert [layers[n] for n in range(COUNT)] == [0, 2, 1, 2, 0, 1, 0, 0, 2, 1, 2, 0]
    assert listing["totals"]["intra_frames"] == 2
    assert listing["totals"]["bidirectional_frames"] == 7
    assert listing["header"]["references"] == 3


def test_the_command_line_encodes_pyramids(
    pictures: list[roicodec.Picture], tmp_path: Path
) -> None:
    clip, stream = tmp_path / "in.y4m", tmp_path / "a.rq"
    with Writer(str(clip), VideoInfo(WIDTH, HEIGHT, Fraction(1, 10), Fraction(10))) as writer:
        for picture in pictures:
            writer.write(picture)
    command = ["encode", str(clip), str(stream), "--structure", "4", "--gop", "7", "--effort", "1"]
    done = CliRunner().invoke(cli, [*command, "--roi", "none", "--quiet"])
    assert done.exit_code == 0, done.output
    listing = roicodec.info(stream)
    assert [f.number for f in listing.frame_list] == CODED
    assert {f.number: f.type for f in listing.frame_list} == dict(enumerate(KINDS))
    with roicodec.open(stream) as video:
        for made, original in zip(video, pictures, strict=True):
            assert np.abs(made.y.astype(int) - original.y).mean() < 12


def test_the_command_line_tells_what_is_lost(data: bytes, tmp_path: Path) -> None:
    stream, back = tmp_path / "a.rq", tmp_path / "out.y4m"
    stream.write_bytes(damaged(data, 2))
    done = CliRunner().invoke(cli, ["decode", str(stream), str(back)])
    assert done.exit_code == 1
    assert "3 of 12 frames are lost, the others decoded" in str(done.exception)
    with Reader(str(back)) as reader:
        assert sum(isinstance(p, roicodec.Picture) for p in reader.items()) == COUNT - 3


def test_roi_masks_are_listed_as_shown(data: bytes, whole: list[roicodec.DecodedPicture]) -> None:
    """Each is coded from that of its past reference; a lost reference hides those that need it."""
    listing = roicodec.info(io.BytesIO(data))
    for frame in listing.frame_list:
        assert frame.roi_share == pytest.approx(whole[frame.number].mask.mean())
    listing = roicodec.info(io.BytesIO(damaged(data, 2)))
    hidden = {f.number for f in listing.frame_list if f.roi_share is None}
    assert hidden == {1, 3}
    assert {f.number for f in listing.frame_list} == set(range(COUNT)) - {2}
