from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roicodec.bitstream.chunks import FRAME, PACKET, TRACK, Chunk, Damage
from roicodec.bitstream.constants import INTER, INTRA, MAX_CHUNK
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Candidate, Header
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.errors import InputError, RoicodecError, StreamError
from tests.conftest import make_frame, make_header

Make = Callable[..., bytes]
Items = list[Chunk | Damage]

u8, i64 = st.integers(0, 255), st.integers(-(1 << 63), (1 << 63) - 1)
fractions = st.builds(Fraction, st.integers(1, 1 << 32), st.integers(1, 1 << 32))
short_text = st.text(max_size=60)
candidates = st.lists(
    st.builds(Candidate, st.integers(0, 16), st.integers(-128, 127)),
    min_size=1,
    max_size=17,
    unique_by=lambda c: c.bits,
).map(tuple)
headers = st.builds(
    Header,
    width=st.integers(16, 2304),
    height=st.integers(16, 4096),
    model_id=st.binary(min_size=16, max_size=16),
    arithmetic_id=st.integers(0, 65535),
    candidates=candidates,
    gop=st.integers(1, 65535),
    time_base=fractions,
    frame_rate=fractions | st.just(Fraction(0)),
    sample_aspect_ratio=fractions | st.just(Fraction(0)),
    rotation=st.integers(-32768, 32767),
    pixel_format=short_text,
    color_range=u8,
    color_matrix=u8,
    color_primaries=u8,
    color_transfer=u8,
    chroma_location=u8,
    encoder=short_text,
)
small = st.binary(max_size=40)


@st.composite
def frames_of(draw: st.DrawFn, header: Header, kind: int) -> FrameChunk:
    bits = st.sampled_from([c.bits for c in header.candidates])
    return FrameChunk(
        draw(bits),
        draw(bits),
        kind,
        draw(st.integers(0, 63)),
        draw(st.integers(-(1 << 40), 1 << 40)),
        draw(st.integers(0, 1 << 40)),
        (draw(u8), draw(u8)),
        draw(small),
        draw(small),
        draw(small),
        draw(st.integers(0, (1 << 32) - 1)),
    )


def read(data: bytes) -> tuple[StreamReader, Items]:
    reader = StreamReader(io.BytesIO(data))
    return reader, list(reader)


def frames(items: Items) -> list[tuple[int, FrameChunk]]:
    return [(i.number, i.frame) for i in items if isinstance(i, Chunk) and i.frame is not None]


def damages(items: Items) -> list[Damage]:
    return [i for i in items if isinstance(i, Damage)]


def accounted(reader: StreamReader, items: Items) -> int:
    """Every byte is in the header or in one item, one after the other."""
    at = reader.header_size
    for item in items:
        if item.size:
            assert item.offset == at
        at += item.size
    return at


def chunk(kind: bytes, payload: bytes) -> bytes:
    body = kind + struct.pack(">I", len(payload)) + payload
    return body + struct.pack(">I", zlib.crc32(body))


@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    header = data.draw(headers)
    kinds = [INTRA, *data.draw(st.lists(st.sampled_from([INTRA, INTER]), max_size=6))]
    written = [data.draw(frames_of(header, kind)) for kind in kinds]
    packets = [data.draw(small) for _ in kinds]
    out = io.BytesIO()
    with StreamWriter(out, header) as writer:
        writer.write_track(b"track")
        for frame, packet in zip(written, packets, strict=True):
            writer.write_frame(frame)
            writer.write_packet(packet)
    reader, items = read(out.getvalue())
    assert reader.header == header
    assert frames(items) == list(enumerate(written))
    assert [c.payload for c in items if isinstance(c, Chunk) and c.type == PACKET] == packets
    assert [c.type for c in items[:1] if isinstance(c, Chunk)] == [TRACK]
    assert not damages(items)
    assert not reader.truncated
    assert accounted(reader, items) == len(out.getvalue()) == writer.position


@given(i64, st.integers(0, (1 << 63) - 1), st.integers(0, 1 << 40))
def test_any_time_stamp(pts: int, duration: int, number: int) -> None:
    header = make_header(frame_rate=Fraction(0))
    frame = make_frame(0, pts=pts, duration=duration)
    assert FrameChunk.unpack(frame.pack(header, number), header) == (number, frame)


def test_regular_time_stamps_cost_two_bytes_a_frame() -> None:
    header = make_header(time_base=Fraction(1, 90000), frame_rate=Fraction(30000, 1001))
    sizes = {
        len(make_frame(1, pts=n * 3003, duration=3003, mask=b"").pack(header, n))
        for n in (0, 7, 127)
    }
    frame = make_frame(1)
    fixed = 4 + 1 + 1 + 2 + 2 + 4  # SEI, first byte, number, filters, two lengths, CRC
    sections = len(frame.motion + frame.latents)
    assert sizes == {fixed + sections}


def test_bytes_as_specified(stream: Make) -> None:
    """A stream written out by hand from docs/format.md."""
    header = make_header(encoder="e", frame_rate=Fraction(25), candidates=(Candidate(8, -1),))
    out = io.BytesIO()
    with StreamWriter(out, header) as writer:
        writer.write_frame(
            FrameChunk(8, 8, INTRA, 63, 41, 40, (0xA5, 7), b"m", b"oo", b"l" * 3, 0x01020304)
        )
    head = b"\x00\x21\x00\x12\x00\x04\x00\x01\x00\x00" + bytes(range(16))
    head += b"\x00\x02\x02\x02\x00" + b"\x01\x08\xff"
    head += b"\x01\x87\x68" + b"\x19\x01" + b"\x00\x01" + b"\x07yuv420p" + b"\x01e"
    start = b"\x89RQV\r\n\x1a\n\x00\x06" + chunk(b"HEAD", head)
    frame = b"\x00\x08\x00\x08" + b"\x7f" + b"\x00" + b"\x52" + b"\x00" + b"\xa5\x07"
    frame += b"\x01m" + b"\x02oo" + b"lll" + b"\x01\x02\x03\x04"
    body = start + chunk(b"FRAM", frame)
    index = b"\x01\x00\x01" + bytes([0, len(start), 0x52])
    expected = body + chunk(b"INDX", index) + chunk(b"TAIL", struct.pack(">Q", len(body)))
    assert out.getvalue() == expected


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


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80, 0xFF])
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
    items = [i for i in read(data)[1] if isinstance(i, Chunk)]
    gone = {5, 6}
    keep = b"".join(data[i.offset : i.offset + i.size] for i in items if i.number not in gone)
    reader, found = read(data[: items[0].offset] + keep)
    assert reader.frames_lost == 2
    (damage,) = damages(found)
    assert (damage.frames, damage.size) == (2, 0)
    assert "frames 5 to 6 missing" in damage.message


def test_lost_tail_frames_and_packets_are_counted(stream: Make) -> None:
    data = stream(frames=6)
    items = [i for i in read(data)[1] if isinstance(i, Chunk)]
    last = next(i for i in items if i.number == 5)
    index = next(i for i in items if i.type == "INDX")
    reader, found = read(data[: last.offset] + data[index.offset :])
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


def test_unknown_chunks(stream: Make) -> None:
    data = stream(frames=2)
    first = next(i for i in read(data)[1] if isinstance(i, Chunk) and i.frame)
    head, tail = data[: first.offset], data[first.offset :]
    reader, items = read(head + chunk(b"note", b"hello") + tail)
    assert [i.payload for i in items if isinstance(i, Chunk) and i.type == "note"] == [b"hello"]
    assert not damages(items)
    assert accounted(reader, items) == len(data) + 12 + 5
    with pytest.raises(StreamError, match=f"'NOTE' at byte {first.offset}.*update"):
        read(head + chunk(b"NOTE", b"hello") + tail)


def test_unknown_version(stream: Make) -> None:
    data = bytearray(stream())
    data[9] = 9
    with pytest.raises(StreamError, match=r"version 9 is unknown.*reads version 6"):
        StreamReader(io.BytesIO(bytes(data)))


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
    bad[packet.offset + 20] ^= 1
    _, items = read(bytes(bad))
    assert frames(items) == [(0, make_frame(0)), (1, make_frame(1))]


def test_index_seeks_to_every_gop(stream: Make) -> None:
    data = stream(frames=11, gop=3)
    reader, items = read(data)
    intra = [i for i in items if isinstance(i, Chunk) and i.frame and i.frame.kind == INTRA]
    index = reader.index()
    assert reader.frame_count() == 11
    assert [(e.number, e.offset, e.pts) for e in index] == [
        (i.number, i.offset, i.frame.pts) for i in intra if i.frame
    ]
    for entry in reversed(index):
        reader.seek(entry)
        rest = list(reader)
        assert frames(rest) == frames(items)[entry.number :]
        assert not damages(rest)


def test_index_leaves_the_reading_place_alone(stream: Make) -> None:
    reader = StreamReader(io.BytesIO(stream()))
    iterator = iter(reader)
    before = [next(iterator) for _ in range(4)]
    reader.index()
    after = list(iterator)
    assert frames(before + after) == frames(read(stream())[1])


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_no_index_of_a_cut_stream(stream: Make, cut: int) -> None:
    reader = StreamReader(io.BytesIO(stream()[:-cut]))
    assert reader.frame_count() is None
    with pytest.raises(StreamError, match="no trailer"):
        reader.index()


def test_pipe(stream: Make) -> None:
    data = stream()
    source, sink = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(sink, data), os.close(sink)))
    thread.start()
    with os.fdopen(source, "rb") as file:
        reader = StreamReader(file)
        assert frames(list(reader)) == frames(read(data)[1])
        with pytest.raises(StreamError, match="pipe"):
            reader.index()
    thread.join()


def test_a_frame_is_given_before_the_next_byte_is_needed(stream: Make) -> None:
    data = stream(frames=2)
    first = next(i for i in read(data)[1] if isinstance(i, Chunk) and i.frame)
    source, sink = os.pipe()
    with os.fdopen(source, "rb") as file:
        os.write(sink, data[: first.offset + first.size])
        reader = StreamReader(file)
        items = iter(reader)
        assert [getattr(next(items), "type", None) for _ in range(2)] == [TRACK, FRAME]
        os.close(sink)


class _Endless(io.RawIOBase):
    """A stream of ``count`` frames that is never in memory as a whole."""

    def __init__(self, count: int) -> None:
        out = io.BytesIO()
        writer = StreamWriter(out, make_header(gop=65535))
        self.made = out.getvalue()
        self.writer, self.out, self.count = writer, out, count

    def read(self, size: int = -1) -> bytes:
        while len(self.made) < size and self.writer.frames < self.count:
            self.out.seek(0)
            self.out.truncate()
            number = self.writer.frames
            self.writer.write_frame(make_frame(number, 65535, latents=bytes(4000), motion=b""))
            self.made += self.out.getvalue()
        data, self.made = self.made[:size], self.made[size:]
        return data


def test_memory_does_not_grow_with_the_stream() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        reader = StreamReader(_Endless(count))  # type: ignore[arg-type]
        assert sum(isinstance(i, Chunk) for i in reader) == count
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(10)
    assert peak(2000) < peak(100) + 50_000


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


def test_chunk_heads_all_over_do_not_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roicodec.bitstream.reader._SCAN_BUDGET", 1 << 20)
    out = io.BytesIO()
    StreamWriter(out, make_header())
    data = out.getvalue() + (b"FRAM" + struct.pack(">I", 100_000)) * 40_000
    reader, items = read(data)
    assert accounted(reader, items) == len(data)
    assert reader._budget > -(1 << 18)


def test_writer_refuses_what_no_reader_would_take() -> None:
    writer = StreamWriter(io.BytesIO(), make_header())
    with pytest.raises(ValueError, match="first frame"):
        writer.write_frame(make_frame(1))
    with pytest.raises(ValueError, match="quality index 64"):
        writer.write_frame(make_frame(0, quality=64))
    with pytest.raises(ValueError, match="not among the candidates"):
        writer.write_frame(make_frame(0, b_bg=5))
    writer.write_frame(make_frame(0))
    with pytest.raises(ValueError, match="before the first frame"):
        writer.write_track(b"late")
    with pytest.raises(InputError, match="at most"):
        writer.write_packet(bytes(MAX_CHUNK + 1))


def test_an_exception_leaves_the_stream_without_a_trailer() -> None:
    out = io.BytesIO()
    writer = StreamWriter(out, make_header())
    writer.write_frame(make_frame(0))
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    reader, items = read(out.getvalue())
    assert reader.truncated
    assert len(frames(items)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 15}, "15x18"),
        ({"width": 4097}, "4097x18"),
        ({"width": 4096, "height": 2305}, "scale it"),
        ({"candidates": ()}, "at least one"),
        ({"candidates": (Candidate(17),)}, r"each 0\.\.16"),
        ({"candidates": (Candidate(4), Candidate(4, 1))}, "twice"),
        ({"gop": 0}, "GOP length 0"),
        ({"model_id": b"short"}, "5 bytes instead of 16"),
        ({"time_base": Fraction(0)}, "time base"),
    ],
)
def test_header_limits(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_header(**changes)


def test_a_sound_header_with_senseless_fields_is_an_error(stream: Make) -> None:
    good = make_header().pack()
    for at, value in ((0, b"\x00\x00"), (4, b"\x00\x00")):  # width 0, GOP length 0
        bad = good[:at] + value + good[at + 2 :]
        data = b"\x89RQV\r\n\x1a\n\x00\x06" + chunk(b"HEAD", bad)
        with pytest.raises(StreamError, match="header at byte 10"):
            StreamReader(io.BytesIO(data))


@given(st.sampled_from([b"FRAM", b"INDX", b"TAIL", b"TRAK", b"PKT ", b"HEAD"]), st.data())
def test_sound_chunks_with_any_content(kind: bytes, data: st.DataObject) -> None:
    """A CRC says nothing about sense: whatever a chunk holds, there is no other exception."""
    sound = {b"FRAM": make_frame(0).pack(make_header(), 0), b"HEAD": make_header().pack()}
    payload = bytearray(sound.get(kind, b"") or data.draw(st.binary(max_size=60)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(payload)))
        payload[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    magic = b"\x89RQV\r\n\x1a\n\x00\x03"
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
