"""Streams that are damaged or cut: nothing lost that is there, nothing silent, no time wasted."""

from __future__ import annotations

import io
import random
import struct
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roicodec.bitstream.chunks import FRAME, PACKET, Chunk
from roicodec.bitstream.constants import MAX_CHUNK
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.errors import RoicodecError, StreamError
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


class Pipe(io.RawIOBase):
    """Bytes that come in pieces and cannot be sought."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        count = min(size, 1000) if size >= 0 else len(self._rest)
        data, self._rest = self._rest[:count], self._rest[count:]
        return data


def test_cut_anywhere_gives_every_whole_frame(stream: Make) -> None:
    data = stream()
    whole, items = read(data)
    ends = [i.offset + i.size for i in items if isinstance(i, Chunk) and i.frame]
    trailer = items[-1]
    for cut in range(len(data)):
        if cut < whole.header_size:
            with pytest.raises(StreamError):
                StreamReader(io.BytesIO(data[:cut]))
            continue
        reader, part = read(data[:cut])
        assert [n for n, _ in frames(part)] == list(range(sum(e <= cut for e in ends)))
        assert frames(part) == frames(items)[: len(frames(part))]
        assert reader.truncated
        assert accounted(reader, part) == cut
        assert reader.frames_lost == 0 or cut >= trailer.offset


@pytest.mark.parametrize("flip", [0x03, 0x21, 0xFF])
def test_any_damaged_byte_is_noticed_and_costs_one_chunk(stream: Make, flip: int) -> None:
    data = stream(frames=6, gop=2)
    whole, items = read(data)
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= flip
        if at < whole.header_size:
            with pytest.raises(StreamError):
                StreamReader(io.BytesIO(bytes(bad)))
            continue
        reader, found = read(bytes(bad))
        assert damages(found), f"byte {at}"
        hit = next(i for i in items if i.offset <= at < i.offset + i.size)
        kept = [i for i in items if i is not hit]
        assert [i for i in found if isinstance(i, Chunk)] == kept, f"byte {at}"
        assert accounted(reader, found) == len(data)
        lost = isinstance(hit, Chunk) and hit.type == FRAME
        assert reader.frames_lost == sum(d.frames for d in damages(found)) == lost
        assert reader.truncated == (hit is items[-1])


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_costs_nothing_and_is_told(stream: Make, bit: int) -> None:
    """Anywhere behind the version: in type, length, content or CRC of any chunk, header and trailer
    included."""
    data = stream(frames=6, gop=2)
    whole, items = read(data)
    for at in range(10, len(data)):
        bad = bytearray(data)
        bad[at] ^= 1 << bit
        reader, found = read(bytes(bad))
        assert reader.header == whole.header
        assert [i for i in found if isinstance(i, Chunk)] == items, f"byte {at}"
        assert accounted(reader, found) == len(data)
        assert not reader.truncated
        [damage] = damages(found)
        assert "was wrong: mended" in damage.message
        assert (damage.size, damage.frames) == (0, 0)


@pytest.mark.parametrize("size", [100, 5000, 200_000])
def test_flipped_bits_of_neighbours_are_mended(size: int) -> None:
    """Two damaged chunks in a row, the first of which seems to be of an unknown type."""
    out = io.BytesIO()
    with StreamWriter(out, make_header(width=1024, height=768)) as writer:
        writer.write_track(random.Random(2).randbytes(size))
        for n in range(4):
            writer.write_frame(make_frame(n, latents=bytes(size)))
    pieces = chunks_of(out.getvalue())
    bad = bytearray(out.getvalue())
    bad[pieces[0].offset] ^= 0x80
    bad[pieces[1].offset + size // 2] ^= 0x10
    _, items = read(bytes(bad))
    assert [i for i in items if isinstance(i, Chunk)] == pieces
    assert len(damages(items)) == 2
    bad[pieces[1].offset + size // 3] ^= 0x10
    _, items = read(bytes(bad))
    assert numbers(items) == [1, 2, 3]


@pytest.mark.parametrize("gone", [1, 2])
def test_the_next_chunk_is_not_taken_for_a_crc_with_a_wrong_bit(gone: int) -> None:
    """Where the last bytes of a CRC are lost, the next chunk's first ones may look like them."""
    header = make_header()
    for seed in range(1 << 16):
        frame = make_frame(1, latents=seed.to_bytes(4, "big"))
        piece = chunk(b"FRAM", frame.pack(header, 1))
        changed = piece[-4:-gone] + b"FRAM"[:gone]
        wrong = int.from_bytes(piece[-4:], "big") ^ int.from_bytes(changed, "big")
        if wrong.bit_count() == 1:
            break
    else:
        raise AssertionError("no such CRC among those tried")
    out = io.BytesIO()
    writer = StreamWriter(out, header)
    writer.write_frame(make_frame(0))
    last = chunk(b"FRAM", make_frame(2).pack(header, 2))
    _, items = read(out.getvalue() + piece[:-gone] + last)
    assert numbers(items) == [0, 2]


def test_large_chunks_are_not_mended() -> None:
    """More than 256 KiB are not mended: damage of any kind might look like a flipped bit."""
    out = io.BytesIO()
    with StreamWriter(out, make_header()) as writer:
        writer.write_packet(bytes(1 << 18))
        writer.write_frame(make_frame(0))
    packet = chunks_of(out.getvalue())[0]
    bad = bytearray(out.getvalue())
    bad[packet.offset + 99] ^= 4
    _, items = read(bytes(bad))
    assert numbers(items) == [0]
    assert damages(items)[0].size == packet.size


@given(st.data())
def test_random_damage_never_gives_wrong_frames(data: st.DataObject) -> None:
    out = io.BytesIO()
    with StreamWriter(out, make_header()) as writer:
        for n in range(9):
            writer.write_frame(make_frame(n))
    good = dict(frames(read(out.getvalue())[1]))
    bad = bytearray(out.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(bad)))
        what = data.draw(st.sampled_from(["flip", "insert", "delete", "move"]))
        if what == "flip" and at < len(bad):
            bad[at] ^= data.draw(st.integers(1, 255))
        elif what == "insert":
            bad[at:at] = data.draw(st.binary(min_size=1, max_size=30))
        elif what == "delete":
            del bad[at : at + data.draw(st.integers(1, 120))]
        else:
            size = data.draw(st.integers(1, 120))
            piece = bad[at : at + size]
            del bad[at : at + size]
            to = data.draw(st.integers(0, len(bad)))
            bad[to:to] = piece
    try:
        reader, items = read(bytes(bad))
    except RoicodecError:
        return
    assert accounted(reader, items) == len(bad)
    for number, frame in frames(items):
        assert frame == good[number]
    complete = len(frames(items)) == len(good)
    assert complete or damages(items) or reader.truncated
    assert bytes(bad) == out.getvalue() or damages(items) or reader.truncated


@given(st.binary(max_size=200))
def test_garbage_is_an_error_or_damage(data: bytes) -> None:
    with pytest.raises(StreamError):
        StreamReader(io.BytesIO(data))
    out = io.BytesIO()
    StreamWriter(out, make_header())
    reader, items = read(out.getvalue() + data)
    assert reader.truncated
    assert len(damages(items)) == bool(data)


def test_a_lost_frame_is_counted_and_named(stream: Make) -> None:
    data = stream(frames=8)
    pieces = chunks_of(data)
    keep = [p for p in pieces if p.number not in (5, 6)]
    reader, found = read(joined(data[: pieces[0].offset], keep, data))
    assert reader.frames_lost == 2
    (damage,) = damages(found)
    assert (damage.frames, damage.size) == (2, 0)
    assert "frames 5 to 6 missing" in damage.message


def test_lost_tail_frames_and_packets_are_counted(stream: Make) -> None:
    data = stream(frames=6)
    pieces = chunks_of(data)
    last = next(p for p in pieces if p.number == 5)
    keep = [p for p in pieces if p.offset < last.offset or p.type in ("INDX", "TAIL")]
    reader, found = read(joined(data[: pieces[0].offset], keep, data))
    assert reader.frames_lost == 1
    assert [d.frames for d in damages(found)] == [1, 0]
    assert "7 track and packet chunks were written, 6 are whole" in damages(found)[1].message


def test_a_frame_repeated_is_not_given_twice(stream: Make) -> None:
    data = stream(frames=3)
    first = next(i for i in read(data)[1] if isinstance(i, Chunk) and i.frame)
    piece = data[first.offset : first.offset + first.size]
    _, items = read(data[: first.offset] + piece + data[first.offset :])
    assert [n for n, _ in frames(items)] == [0, 1, 2]
    assert "frame 0 again" in damages(items)[0].message


def test_sound_chunk_with_senseless_content_is_damage(stream: Make) -> None:
    data = stream(frames=3)
    second = next(i for i in read(data)[1] if isinstance(i, Chunk) and i.number == 1)
    payload = bytearray(second.payload)
    payload[1] = 7
    bad = data[: second.offset] + chunk(b"FRAM", bytes(payload))
    reader, items = read(bad + data[second.offset + second.size :])
    assert "bit-widths 7, 4 are not among" in damages(items)[0].message
    assert f"byte {second.offset}" in damages(items)[0].message
    assert [n for n, _ in frames(items)] == [0, 2]
    assert reader.frames_lost == 1
    assert accounted(reader, items) == len(data)


def test_data_after_the_end_is_reported(stream: Make) -> None:
    data = stream()
    reader, items = read(data + data)
    assert len(frames(items)) == 10
    assert accounted(reader, items) == 2 * len(data)
    assert f"{len(data)} unexpected bytes" in damages(items)[0].message


def test_a_stream_inside_a_damaged_packet_is_not_mistaken_for_the_stream(stream: Make) -> None:
    out = io.BytesIO()
    with StreamWriter(out, make_header()) as writer:
        writer.write_frame(make_frame(0))
        writer.write_packet(stream(frames=5, gop=1))
        writer.write_frame(make_frame(1))
    bad = bytearray(out.getvalue())
    packet = next(i for i in read(bytes(bad))[1] if isinstance(i, Chunk) and i.type == PACKET)
    bad[packet.offset + 20] ^= 3
    _, items = read(bytes(bad))
    assert frames(items) == [(0, make_frame(0)), (1, make_frame(1))]


def test_a_length_beyond_every_limit_does_not_reserve_memory(stream: Make) -> None:
    data = stream(frames=3)
    items = [i for i in read(data)[1] if isinstance(i, Chunk)]
    second = next(i for i in items if i.number == 1)
    for length in (MAX_CHUNK, MAX_CHUNK + 1, 0xFFFFFFFF):
        bad = bytearray(data)
        bad[second.offset + 4 : second.offset + 8] = struct.pack(">I", length)
        tracemalloc.start()
        _, found = read(bytes(bad))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()
        assert [n for n, _ in frames(found)] == [0, 2]


@given(st.sampled_from([b"FRAM", b"INDX", b"TAIL", b"TRAK", b"PKT ", b"HEAD"]), st.data())
def test_sound_chunks_with_any_content(kind: bytes, data: st.DataObject) -> None:
    """A CRC says nothing about sense: whatever a chunk holds, there is no other exception."""
    sound = {b"FRAM": make_frame(0).pack(make_header(), 0), b"HEAD": make_header().pack()}
    payload = bytearray(sound.get(kind, b"") or data.draw(st.binary(max_size=60)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(payload)))
        payload[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    magic = b"\x89RQV\r\n\x1a\n\x00\x06"
    first = b"" if kind == b"HEAD" else chunk(b"HEAD", make_header().pack())
    whole = magic + first + chunk(kind, bytes(payload))
    try:
        reader, items = read(whole)
        index = reader.index() if kind == b"TAIL" else []
    except StreamError:
        return
    assert not index
    assert accounted(reader, items) == len(whole)
    assert reader.truncated == (kind != b"TAIL")


# --- searching ------------------------------------------------------------------------------


@pytest.mark.parametrize("seekable", [True, False])
def test_no_byte_is_passed_over_without_a_search(stream: Make, seekable: bool) -> None:
    """A damaged length claims most of the stream, and a sound chunk's look-alike is before it."""
    data = stream(frames=400, gop=4, width=1024, height=768)
    second = next(c for c in chunks_of(data) if c.number == 1)
    bad = bytearray(data)
    bad[second.offset + 5] ^= 1  # its length grows by 65536
    bad[second.offset + 9] ^= 1  # which is not the only wrong bit
    bad[second.offset + second.size + 3] ^= 0x21  # and so the next one is not found at once
    file = io.BytesIO(bytes(bad)) if seekable else Pipe(bytes(bad))
    reader = StreamReader(file)  # type: ignore[arg-type]
    items = list(reader)
    assert numbers(items) == [0, *range(2, 400)]
    assert accounted(reader, items) == len(data)
    assert reader.frames_lost == 1


@pytest.mark.parametrize("seekable", [True, False])
def test_every_length_of_damage(stream: Make, seekable: bool) -> None:
    data = stream(frames=60)
    pieces = chunks_of(data)
    ruin = random.Random(5).randbytes(len(data))
    first = next(c for c in pieces if c.number == 4).offset
    for size in (1, 11, 12, 13, 100, 500, 1000, 2000):
        bad = data[:first] + ruin[:size] + data[first + size :]
        file = io.BytesIO(bad) if seekable else Pipe(bad)
        reader = StreamReader(file)  # type: ignore[arg-type]
        items = list(reader)
        whole = [c for c in pieces if c.offset >= first + size or c.offset + c.size <= first]
        assert [i for i in items if isinstance(i, Chunk)] == whole
        assert accounted(reader, items) == len(bad)


def test_junk_takes_time_in_proportion(stream: Make) -> None:
    data = stream(frames=6)
    middle = next(c for c in chunks_of(data) if c.number == 3).offset
    junk = random.Random(1).randbytes(8 << 20)
    start = time.process_time()
    reader, items = read(data[:middle] + junk + data[middle:])
    assert time.process_time() - start < 2
    assert numbers(items) == list(range(6))
    assert accounted(reader, items) == len(data) + len(junk)
    assert len(damages(items)) == 2
    assert f"{len(junk)} damaged bytes at byte {middle}" in messages(items)


@pytest.mark.parametrize("length", [20_000, 100_000, 1 << 26])
def test_chunk_heads_all_over_take_time_in_proportion(length: int) -> None:
    """Every eight bytes a chunk begins that claims to be long: hashing each would be quadratic."""
    out = io.BytesIO()
    StreamWriter(out, make_header())
    count = 20_000
    data = out.getvalue() + (b"FRAM" + struct.pack(">I", length)) * count
    start = time.process_time()
    reader, items = read(data)
    assert time.process_time() - start < 100e-6 * count
    assert accounted(reader, items) == len(data)


@pytest.mark.parametrize("length", [100, 200_000, 3 << 20])
def test_many_damages_take_time_in_proportion(length: int) -> None:
    """Damaged chunks that claim to be long, with sound ones between them."""
    out = io.BytesIO()
    StreamWriter(out, make_header())
    bait = b"FRAM" + struct.pack(">I", length)
    data = out.getvalue() + (bait + chunk(b"PKT ", b"p")) * 10_000
    start = time.process_time()
    reader, items = read(data)
    assert time.process_time() - start < 4
    assert accounted(reader, items) == len(data)
    assert sum(isinstance(i, Chunk) for i in items) == 10_000
