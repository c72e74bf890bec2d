"""Places of frames among the others: bytes as the text has them, limits, damage, garbage."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roicodec.bitstream.chunks import FRAME, Chunk
from roicodec.bitstream.constants import BIDIRECTIONAL, INTER, INTRA
from roicodec.bitstream.frame_chunk import FrameChunk, Place
from roicodec.bitstream.motion_section import Bidirectional, MotionReader, encode_motion
from roicodec.bitstream.writer import StreamWriter
from roicodec.encoder.gop import Planned, mini_gop
from roicodec.errors import StreamError
from tests.bitstream.streams import accounted, chunk, damages, frames, read
from tests.conftest import make_frame, make_header

FIRST = Planned(0, INTRA, Place(), 0)
"""The intra frame before a pyramid."""

PYRAMID = """
    shown    0  8    4    2    1    3    6    5    7
    second   -  19   3A   5A   6A   6A   5A   6A   6A
    shift    -  0E70 0433 0111 0500 0300 0011 0300 0100
"""
"""A pyramid of 8 as the format's page has it: second byte, then shift and distances."""


def make_placed(number: int, planned: Planned, **changes: object) -> FrameChunk:
    """A frame of a pyramid; ``number`` is the one in coding order."""
    header, shown = make_header(), number + planned.place.shift
    moves: dict[str, Any] = {"kind": planned.kind, "place": planned.place, "motion": b"motion"}
    regular = {"pts": header.nominal(shown), "duration": header.nominal(1)}
    return make_frame(number, **{**moves, **regular, **changes})


def pyramids(length: int = 4, count: int = 2) -> bytes:
    """A stream of an intra frame, pyramids, and then the same again."""
    out = io.BytesIO()
    with StreamWriter(out, make_header(references=4, gop=1 + length * count)) as writer:
        for _ in range(2):
            writer.write_frame(make_frame(writer.frames, kind=INTRA, motion=b""))
            for planned in mini_gop(length) * count:
                writer.write_frame(make_placed(writer.frames, planned))
    return out.getvalue()


def test_the_bytes_are_those_of_the_text() -> None:
    header = make_header()
    rows = [line.split()[1:] for line in PYRAMID.strip().splitlines()]
    for number, (shown, second, place) in enumerate(zip(*rows, strict=True)):
        planned = [FIRST, *mini_gop(8)][number]
        frame = make_placed(number, planned, quality=33)
        payload = frame.pack(header, number)
        assert planned.number == int(shown)
        if number == 0:
            assert payload[4:6] == bytes([33, 0])
        else:
            expected = bytes([0xC0 | 33]) + bytes.fromhex(second) + bytes([number])
            assert payload[4:9] == expected + bytes.fromhex(place)
        assert FrameChunk.unpack(payload, header, number) == (number, frame, [])


def test_a_frame_of_low_delay_has_no_second_byte_unless_its_time_is_irregular() -> None:
    header = make_header()
    inter = make_placed(5, Planned(1, INTER, Place(), 0), quality=9)
    assert inter.pack(header, 5)[4:6] == bytes([0x80 | 9, 5])
    late = replace(inter, pts=inter.pts + 1)
    assert late.pack(header, 5)[4:9] == bytes([0xC0 | 9, 0x15, 5, 2, 0])
    assert FrameChunk.unpack(late.pack(header, 5), header) == (5, late, [])
    first = replace(late, kind=INTRA, motion=b"")
    assert first.pack(header, 5)[4:8] == bytes([0x40 | 9, 5, 2, 0])


def test_version_6_has_no_second_byte() -> None:
    """Both upper bits say that an inter frame has a time of its own."""
    header = make_header(version=6)
    late = make_placed(5, Planned(1, INTER, Place(), 0), quality=9)
    late = replace(late, pts=late.pts + 1)
    payload = late.pack(make_header(), 5)
    old = payload[:5] + payload[6:]
    assert FrameChunk.unpack(old, header) == (5, late, [])


@pytest.mark.parametrize(
    ("second", "place", "message"),
    [
        (0x1B, "0033", "frame type 3"),
        (0x12, "", "distances 1 and 0"),
        (0x1A, "2133", "shown -17 frames after its turn"),
        (0x1A, "2233", "shown 17 frames after its turn"),
        (0x18, "0233", "shown 1 frames after its turn"),
        (0x19, "0F70", "its number is 3, and it is shown -8 frames on"),
    ],
)
def test_places_that_cannot_be(second: int, place: str, message: str) -> None:
    header = make_header()
    payload = make_placed(3, Planned(1, INTER, Place(), 0)).pack(header, 3)
    bad = payload[:4] + bytes([payload[4] | 0xC0, second, 3]) + bytes.fromhex(place) + payload[6:]
    with pytest.raises(StreamError, match=message):
        FrameChunk.unpack(bad, header)


@given(st.binary(min_size=1, max_size=12), st.integers(0, 63))
def test_any_second_byte_and_place(rest: bytes, quality: int) -> None:
    """What is accepted is in range, and is the same when it is written and read again."""
    header = make_header()
    payload = make_frame(1).pack(header, 1)
    bad = payload[:4] + bytes([0xC0 | quality]) + rest + payload[6:]
    try:
        number, frame, replaced = FrameChunk.unpack(bad, header)
    except StreamError:
        return
    place = frame.place
    assert number + place.shift >= 0
    assert abs(place.shift) <= 16
    assert 1 <= place.past <= 16
    assert (1 <= place.future <= 16) if frame.kind == BIDIRECTIONAL else place.future == 0
    if not replaced:
        again = FrameChunk.unpack(frame.pack(header, number), header)
        assert again == (number, frame, [])


# --- damage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [0x03, 0x21, 0xFF])
def test_any_damaged_byte_costs_one_frame_of_a_pyramid(flip: int) -> None:
    data = pyramids()
    whole, items = read(data)
    for at in range(whole.header_size, len(data)):
        bad = bytearray(data)
        bad[at] ^= flip
        reader, found = read(bytes(bad))
        hit = next(i for i in items if i.offset <= at < i.offset + i.size)
        kept = [i for i in items if i is not hit]
        assert damages(found), f"byte {at}"
        assert [i for i in found if isinstance(i, Chunk)] == kept, f"byte {at}"
        assert accounted(reader, found) == len(data)
        lost = isinstance(hit, Chunk) and hit.type == FRAME
        assert reader.frames_lost == lost


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_of_a_pyramid_costs_nothing(bit: int) -> None:
    data = pyramids()
    _, items = read(data)
    for at in range(10, len(data)):
        bad = bytearray(data)
        bad[at] ^= 1 << bit
        _, found = read(bytes(bad))
        assert [i for i in found if isinstance(i, Chunk)] == items, f"byte {at}"
        assert len(damages(found)) == 1


def test_a_pyramid_cut_anywhere_gives_every_whole_frame() -> None:
    data = pyramids()
    whole, items = read(data)
    ends = [i.offset + i.size for i in items if isinstance(i, Chunk) and i.frame]
    for cut in range(whole.header_size, len(data)):
        reader, part = read(data[:cut])
        assert frames(part) == frames(items)[: sum(end <= cut for end in ends)]
        assert reader.truncated


def test_a_place_that_cannot_be_is_the_damage_of_one_chunk() -> None:
    data = pyramids()
    _, items = read(data)
    third = next(i for i in items if isinstance(i, Chunk) and i.number == 3)
    payload = bytearray(third.payload)
    payload[5] |= 3
    end = third.offset + third.size
    reader, found = read(data[: third.offset] + chunk(b"FRAM", bytes(payload)) + data[end:])
    assert "frame type 3 is none of" in damages(found)[0].message
    assert reader.frames_lost == 1
    assert [n for n, _ in frames(found)] == [0, 1, 2, *range(4, 18)]


# --- garbage in the motion section ----------------------------------------------------------


@given(st.binary(min_size=1, max_size=60), st.booleans())
def test_any_section_gives_fields_and_modes_or_an_error(data: bytes, known: bool) -> None:
    expected = (_still(), _still()) if known else (None, None)
    try:
        past, future, modes = MotionReader(data, (3, 5), None).bidirectional((8, 12), expected)
    except StreamError:
        return
    for vectors in (past, future):
        assert vectors.shape == (8, 12, 2)
        assert abs(vectors.astype(int)).max() <= 2047
    assert modes.shape == (4, 6)
    assert modes.max() <= 3


@given(st.data())
def test_a_damaged_section_gives_fields_and_modes_or_an_error(data: st.DataObject) -> None:
    """Near a sound one: the damage is behind the modes as often as in them."""
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    past, future = (rng.integers(-40, 40, (8, 12, 2)).astype(np.int16) for _ in range(2))
    modes = rng.integers(0, 4, (4, 6)).astype(np.uint8)
    sound = encode_motion(None, None, past, None, both=Bidirectional(future, modes, None))
    bad = bytearray(sound)
    at = data.draw(st.integers(0, len(bad) - 1))
    bad[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        fields = MotionReader(bytes(bad), (3, 5), None).bidirectional((8, 12), (None, None))
    except StreamError:
        return
    assert all(abs(vectors.astype(int)).max() <= 2047 for vectors in fields[:2])
    assert fields[2].max() <= 3


def _still() -> np.ndarray:
    return np.full((8, 12, 2), -2047, np.int16)
