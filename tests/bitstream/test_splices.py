"""Streams with other streams inside, chunks in wrong places, and numbers that cannot be."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc

import pytest

from roicodec.bitstream.chunks import FRAME, TRAILER, Chunk, Damage
from roicodec.bitstream.constants import MAX_FRAMES, MAX_GAP
from roicodec.bitstream.fields import varint
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.errors import StreamError
from tests.bitstream.streams import (
    Make,
    accounted,
    chunk,
    chunks_of,
    damages,
    frames,
    joined,
    messages,
    numbers,
    read,
)
from tests.conftest import make_frame, make_header

# --- streams inside streams -----------------------------------------------------------------


def nested(inner: bytes) -> bytes:
    """A stream with another one as attachment."""
    out = io.BytesIO()
    with StreamWriter(out, make_header()) as writer:
        writer.write_track(b"an attachment: " + inner + b" and what follows it")
        for number in range(6):
            writer.write_frame(make_frame(number, latents=b"outer %d" % number))
    return out.getvalue()


def test_an_attached_stream_never_ends_or_replaces_the_outer_one(stream: Make) -> None:
    data = nested(stream(frames=8))
    whole = dict(frames(read(data)[1]))
    track = chunks_of(data)[0]
    places = [*range(track.offset, track.offset + 120), *range(track.offset, track.size, 7)]
    for place in places:
        for bits in (0x01, 0x80, 0x03, 0x21, 0x81):
            bad = bytearray(data)
            bad[place] ^= bits
            reader, items = read(bytes(bad))
            assert dict(frames(items)) == whole, f"byte {place}"
            assert accounted(reader, items) == len(data)
            assert not reader.truncated
            assert damages(items)


def test_an_attached_stream_with_two_damages_is_never_silent(stream: Make) -> None:
    data = nested(stream(frames=8))
    whole = dict(frames(read(data)[1]))
    track = chunks_of(data)[0]
    rng = random.Random(3)
    for _ in range(300):
        bad = bytearray(data)
        for place in rng.sample(range(track.offset, track.offset + track.size), 2):
            bad[place] ^= 1 << rng.randrange(8)
        reader, items = read(bytes(bad))
        assert accounted(reader, items) == len(data)
        assert damages(items) or dict(frames(items)) == whole
        assert not reader.truncated


def test_two_streams_in_a_row_are_not_mixed(stream: Make) -> None:
    data = stream(frames=5)
    bad = bytearray(data + stream(frames=9))
    bad[len(data) - 1] ^= 3  # the trailer of the first
    reader, items = read(bytes(bad))
    assert numbers(items) == list(range(5))
    assert accounted(reader, items) == len(bad)
    assert reader.truncated


# --- ends -----------------------------------------------------------------------------------


def test_a_trailer_without_its_index_tells_that_the_end_is_missing(stream: Make) -> None:
    data = stream(frames=8)
    pieces = chunks_of(data)
    keep = [p for p in pieces if p.number < 4 and p.type in (FRAME, TRAILER)]
    for trailer in (keep[-1], chunk(b"TAIL", struct.pack(">Q", 1 << 40))):
        reader, items = read(joined(data[: pieces[0].offset], [*keep[:-1], trailer], data))
        assert numbers(items) == list(range(4))
        assert reader.truncated
        assert "the index is missing before the trailer" in messages(items)


def test_bytes_inserted_before_the_end_are_told(stream: Make) -> None:
    data = stream(frames=8)
    pieces = chunks_of(data)
    fourth = next(p for p in pieces if p.number == 4).offset
    reader, items = read(data[:fourth] + bytes(77) + data[fourth:])
    assert numbers(items) == list(range(8))
    assert not reader.truncated
    assert "77 damaged bytes" in messages(items)
    assert "bytes were inserted or removed" in messages(items)


def test_a_trailer_that_points_elsewhere_ends_nothing(stream: Make) -> None:
    data = stream(frames=6)
    pieces = chunks_of(data)
    middle = next(i for i, p in enumerate(pieces) if p.number == 3)
    for offset in (0, 10, 1 << 63):
        trailer = chunk(b"TAIL", struct.pack(">Q", offset))
        strange: list[Chunk | bytes] = [*pieces[:middle], trailer, *pieces[middle:]]
        reader, items = read(joined(data[: pieces[0].offset], strange, data))
        assert numbers(items) == list(range(6))
        (damage,) = damages(items)
        assert f"points at byte {offset}, where no index was read" in damage.message
        assert damage.size == len(trailer)
        assert not reader.truncated


def test_an_index_of_another_stream_counts_for_nothing(stream: Make) -> None:
    data, other = stream(frames=6), stream(frames=30)
    pieces = chunks_of(data)
    middle = next(i for i, p in enumerate(pieces) if p.number == 3)
    foreign = [other[p.offset : p.offset + p.size] for p in chunks_of(other)[-2:]]
    reader, items = read(
        joined(data[: pieces[0].offset], [*pieces[:middle], *foreign, *pieces[middle:]], data)
    )
    assert numbers(items) == list(range(6))
    assert reader.frames_lost == 0
    assert len(damages(items)) == 2


# --- what comes in the wrong place or number ------------------------------------------------


def test_tracks_that_come_late_are_told(stream: Make) -> None:
    data = stream(frames=4)
    pieces = chunks_of(data)
    track = pieces[0]
    for place in (2, 3, 5):
        late = [*pieces[1:place], track, *pieces[place:]]
        reader, items = read(joined(data[: track.offset], late, data))
        assert numbers(items) == list(range(4))
        (damage,) = damages(items)
        assert "its tracks come too late and are not used" in damage.message
        assert damage.size == track.size
        assert accounted(reader, items) == len(data)


@pytest.mark.parametrize("places", [1, 3, 8])
@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_frame_a_few_places_behind_is_put_in_order(
    stream: Make, number: int, places: int
) -> None:
    data = stream(frames=20, gop=4)
    pieces = chunks_of(data)
    rest = [p for p in pieces if p.number != number]
    late = next(p for p in pieces if p.number == number)
    at = next(i for i, p in enumerate(rest) if p.number == number + places) + 1
    moved = joined(data[: pieces[0].offset], [*rest[:at], late, *rest[at:]], data)
    reader, items = read(moved)
    assert numbers(items) == list(range(20))
    assert [f for _, f in frames(items)] == [p.frame for p in pieces if p.frame]
    assert reader.frames_lost == 0
    assert f"frame {number} comes late" in messages(items)
    [whole] = {len(moved), reader.header_size + sum(i.size for i in items)}
    assert whole == len(data)


def test_a_frame_far_behind_its_place_is_lost(stream: Make) -> None:
    """The look-ahead is bounded, and no packet is lost by it."""
    data = stream(frames=20)
    pieces = chunks_of(data)
    rest = [p for p in pieces if p.number != 2]
    late = next(p for p in pieces if p.number == 2)
    reader, items = read(joined(data[: pieces[0].offset], [*rest[:-2], late, *rest[-2:]], data))
    assert numbers(items) == [n for n in range(20) if n != 2]
    assert reader.frames_lost == 1
    assert accounted(reader, items) == len(data)
    others = [p.payload for p in rest if p.type not in (FRAME, TRAILER)]
    assert [i.payload for i in items if isinstance(i, Chunk) and i.frame is None][:-1] == others


def test_a_second_header_is_told(stream: Make) -> None:
    data = stream(frames=4)
    pieces = chunks_of(data)
    again = data[10 : pieces[0].offset]
    _, items = read(joined(data[: pieces[0].offset], [*pieces[:3], again, *pieces[3:]], data))
    assert numbers(items) == list(range(4))
    assert "a second header" in messages(items)


@pytest.mark.parametrize("number", [MAX_GAP + 3, MAX_FRAMES, 1 << 31, 1 << 62, (1 << 64) - 1])
def test_a_frame_number_that_cannot_be_costs_no_frame(number: int) -> None:
    header = make_header()
    out = io.BytesIO()
    StreamWriter(out, header)
    data = out.getvalue()
    for n in range(5):
        frame = make_frame(n, pts=header.nominal(n), duration=header.nominal(1))
        payload = frame.pack(header, n)
        data += chunk(b"FRAM", payload[:5] + varint(number if n == 2 else n) + payload[6:])
    reader, items = read(data)
    assert numbers(items) == list(range(5))
    assert reader.frames_lost == 0
    assert f"its number is {number}, which cannot be; taken as frame 2" in messages(items)


def test_a_long_gap_that_can_be_is_one() -> None:
    header = make_header()
    out = io.BytesIO()
    StreamWriter(out, header)
    data = out.getvalue() + b"".join(
        chunk(b"FRAM", make_frame(0).pack(header, n)) for n in (0, 1000, MAX_GAP)
    )
    reader, items = read(data)
    assert numbers(items) == [0, 1000, MAX_GAP]
    assert reader.frames_lost == MAX_GAP - 2


@pytest.mark.parametrize("times", [(2 * ((1 << 63) - 1), 0), (0, 2 * 40 - 1)])
def test_a_time_stamp_that_cannot_be_costs_no_frame(times: tuple[int, int]) -> None:
    """Zigzag numbers: a time stamp 2**63 - 1 above the nominal one, a duration 40 below."""
    header = make_header()
    out = io.BytesIO()
    writer = StreamWriter(out, header)
    writer.write_frame(make_frame(0))
    regular = make_frame(1, pts=header.nominal(1), duration=header.nominal(1))
    payload = bytearray(regular.pack(header, 1))
    payload[4] |= 0xC0
    payload[5:5] = b"\x15"  # inter, with a time stamp, referred to
    payload[7:7] = b"".join(map(varint, times))
    _, items = read(out.getvalue() + chunk(b"FRAM", bytes(payload)))
    assert frames(items) == [(0, make_frame(0)), (1, regular)]
    assert "its time stamp or duration cannot be" in messages(items)


def test_a_limit_on_frames(stream: Make) -> None:
    data = stream(frames=8, gop=2)
    reader = StreamReader(io.BytesIO(data), max_frames=5)
    items = list(reader)
    assert numbers(items) == list(range(5))
    assert isinstance(items[-1], Damage)
    assert messages(items) == items[-1].message
    assert "frame 5 is beyond the limit of 5 frames" in items[-1].message
    assert accounted(reader, items) == items[-1].offset + items[-1].size < len(data)
    assert not reader.truncated


# --- what an index claims ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "index",
    [
        varint(1 << 62) + varint(0) + varint(0),
        varint(MAX_FRAMES + 5) + varint(0) + varint(0),
        varint(1),
        b"",
    ],
)
def test_an_index_that_cannot_be_is_told(index: bytes) -> None:
    out = io.BytesIO()
    writer = StreamWriter(out, make_header())
    writer.write_frame(make_frame(0))
    writer.write_frame(make_frame(1))
    end = chunk(b"TAIL", struct.pack(">Q", out.tell()))
    reader, items = read(out.getvalue() + chunk(b"INDX", index) + end)
    assert numbers(items) == [0, 1]
    assert reader.frames_lost == 0
    assert "INDX chunk at byte" in messages(items)
    if index[:1] != b"\x01":
        assert reader.frame_count() is None


def test_an_index_takes_memory_in_proportion() -> None:
    """A thousand entries a kilobyte could be listed, of frames that do not fit in the file."""
    out = io.BytesIO()
    writer = StreamWriter(out, make_header())
    writer.write_frame(make_frame(0))
    count = 1 << 20
    index = varint(count) + varint(0) + varint(count) + b"\x01\x1a\x00" * count
    end = chunk(b"TAIL", struct.pack(">Q", out.tell()))
    reader = StreamReader(io.BytesIO(out.getvalue() + chunk(b"INDX", index) + end))
    assert reader.frame_count() is None
    tracemalloc.start()
    with pytest.raises(StreamError, match="not in order"):
        reader.index()
    assert tracemalloc.get_traced_memory()[1] < 4 * len(index)
    tracemalloc.stop()
