from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roicodec.bitstream.chunks import FRAME, PACKET, TRACK, Chunk
from roicodec.bitstream.constants import INTER, INTRA, MAX_CHUNK, MAX_PERIOD
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Candidate, Header
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.errors import InputError, StreamError
from tests.bitstream.streams import Make, accounted, chunk, chunks_of, damages, frames, joined, read
from tests.conftest import make_frame, make_header

u8, i64 = st.integers(0, 255), st.integers(1 - (1 << 63), (1 << 63) - 1)
fractions = st.builds(Fraction, st.integers(1, (1 << 31) - 1), st.integers(1, (1 << 31) - 1))
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
    time_base=fractions.filter(lambda f: f <= MAX_PERIOD),
    frame_rate=fractions.filter(lambda f: 1 / f <= MAX_PERIOD) | st.just(Fraction(0)),
    sample_aspect_ratio=fractions | st.just(Fraction(0)),
    rotation=st.integers(-180, 180),
    pixel_format=st.from_regex("[a-z0-9_]{0,32}", fullmatch=True),
    color_range=st.integers(0, 2),
    color_matrix=st.integers(0, 17),
    color_primaries=st.integers(0, 12),
    color_transfer=st.integers(0, 18),
    chroma_location=st.integers(0, 6),
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
    assert FrameChunk.unpack(frame.pack(header, number), header) == (number, frame, [])


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
    head += b"\x01\x87\x68" + b"\x19\x01" + b"\x00\x01" + b"\x07yuv420p" + b"\x01e" + b"\x01"
    start = b"\x89RQV\r\n\x1a\n\x00\x07" + chunk(b"HEAD", head)
    frame = b"\x00\x08\x00\x08" + b"\x7f" + b"\x00" + b"\x52" + b"\x00" + b"\xa5\x07"
    frame += b"\x01m" + b"\x02oo" + b"lll" + b"\x01\x02\x03\x04"
    body = start + chunk(b"FRAM", frame)
    index = b"\x01\x00\x01" + bytes([0, len(start), 0x52])
    expected = body + chunk(b"INDX", index) + chunk(b"TAIL", struct.pack(">Q", len(body)))
    assert out.getvalue() == expected


def test_unknown_chunks(stream: Make) -> None:
    data = stream(frames=2)
    pieces = chunks_of(data)
    head, first = data[: pieces[0].offset], pieces[1].offset

    def with_chunk(kind: bytes) -> bytes:
        return joined(head, [pieces[0], chunk(kind, b"hello"), *pieces[1:]], data)

    reader, items = read(with_chunk(b"note"))
    assert [i.payload for i in items if isinstance(i, Chunk) and i.type == "note"] == [b"hello"]
    assert not damages(items)
    assert accounted(reader, items) == len(data) + 12 + 5
    with pytest.raises(StreamError, match=f"'NOTE' at byte {first}.*update"):
        read(with_chunk(b"NOTE"))


def test_unknown_version(stream: Make) -> None:
    data = bytearray(stream())
    data[9] = 9
    with pytest.raises(StreamError, match=r"version 9 is unknown.*reads versions 6 to 7"):
        StreamReader(io.BytesIO(bytes(data)))


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

    def send() -> None:
        with os.fdopen(sink, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=send)
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
