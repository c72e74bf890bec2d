from __future__ import annotations

import io
import struct
from fractions import Fraction

import pytest

from roicodec.bitstream.header import Candidate, Header
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.errors import InputError, StreamError
from tests.bitstream.streams import chunk, damages, frames, read
from tests.conftest import make_frame, make_header

START = b"\x89RQV\r\n\x1a\n\x00\x07"
FIRST_COLOR = 10 + 16
"""Place of the colour range in the payload of HEAD."""


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
        ({"time_base": Fraction(0)}, "time base 0 is out of range"),
        ({"time_base": Fraction(1, 1 << 31)}, "time base 1/2147483648"),
        ({"frame_rate": Fraction(1 << 31)}, "frame rate 2147483648"),
        ({"time_base": Fraction(86401)}, "time base 86401"),
        ({"frame_rate": Fraction(1, 86401)}, "frame rate 1/86401"),
        ({"frame_rate": Fraction(-1)}, "frame rate -1"),
        ({"sample_aspect_ratio": Fraction(1 << 40, 3)}, "sample aspect"),
        ({"rotation": 181}, "rotation 181"),
        ({"pixel_format": "yuv\n420p"}, r"pixel format 'yuv\\n420p'"),
        ({"color_range": 3}, "colour range 3"),
        ({"color_matrix": 18}, "colour matrix 18"),
        ({"color_primaries": 13}, "colour primaries 13"),
        ({"color_transfer": 19}, "colour transfer 19"),
        ({"chroma_location": 7}, "chroma location 7"),
        ({"encoder": "e" * 1025}, "encoder's name 'eee"),
    ],
)
def test_header_limits(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_header(**changes)


def fields(header: Header, **changes: bytes) -> bytes:
    """A header's payload with other bytes at some fields."""
    payload = bytearray(header.pack())
    head = payload[: FIRST_COLOR + 6 + 2 * len(header.candidates)]
    names = ("color_range", "color_matrix", "color_primaries", "color_transfer", "chroma_location")
    for place, name in enumerate(names):
        head[FIRST_COLOR + place : FIRST_COLOR + place + 1] = changes.pop(name, b"")[:1] or bytes(
            [head[FIRST_COLOR + place]]
        )
    head[8:10] = changes.pop("rotation", bytes(head[8:10]))
    sized = {
        "time_base": b"\x01\x87\x68",
        "frame_rate": b"\x19\x01",
        "sample_aspect_ratio": b"\x01\x01",
        "pixel_format": b"\x07yuv420p",
        "encoder": b"\x01e",
        **changes,
    }
    return bytes(head) + b"".join(sized.values()) + bytes([header.references])


def test_the_fields_are_where_they_are_looked_for() -> None:
    header, replaced = Header.unpack(
        fields(
            make_header(),
            color_range=b"\x01",
            color_matrix=b"\x05",
            color_primaries=b"\x06",
            color_transfer=b"\x07",
            chroma_location=b"\x03",
            rotation=struct.pack(">h", -90),
        )
    )
    expected = make_header(
        color_range=1,
        color_matrix=5,
        color_primaries=6,
        color_transfer=7,
        chroma_location=3,
        rotation=-90,
        time_base=Fraction(1, 1000),
        frame_rate=Fraction(25),
        sample_aspect_ratio=Fraction(1),
        encoder="e",
    )
    assert not replaced
    assert header == expected


HUGE = b"\x81" + b"\x80" * 8 + b"\x01"
"""2**63 + 1 as a varint."""


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("color_range", b"\x03", "colour range 3"),
        ("color_matrix", b"\xff", "colour matrix 255"),
        ("color_primaries", b"\x0d", "colour primaries 13"),
        ("color_transfer", b"\x13", "colour transfer 19"),
        ("chroma_location", b"\x07", "chroma location 7"),
        ("rotation", b"\x80\x00", "rotation -32768"),
        ("time_base", HUGE + b"\x01", "time base 9223372036854775809"),
        ("time_base", b"\x01" + HUGE, "time base 1/9223372036854775809"),
        ("time_base", b"\x00\x01", "time base 0"),
        ("time_base", b"\x85\xa3\x01\x01", "time base 86401"),
        ("frame_rate", b"\x01\x85\xa3\x01", "frame rate 1/86401"),
        ("frame_rate", HUGE + b"\x01", "frame rate 9223372036854775809"),
        ("sample_aspect_ratio", b"\x01" + HUGE, "sample aspect 1/9223372036854775809"),
        ("pixel_format", b"\x04\x1b[2J", r"pixel format '\x1b[2J'"),
        ("encoder", b"\x88\x01" + b"e" * 1025, "encoder's name 'eeee"),
    ],
)
def test_a_bad_description_costs_no_frame(field: str, value: bytes, line: str) -> None:
    header = make_header(time_base=Fraction(1, 1000), frame_rate=Fraction(25))
    out = io.BytesIO()
    with StreamWriter(out, header) as writer:
        for number in range(5):
            writer.write_frame(make_frame(number))
    body = out.getvalue()[len(START) + 12 + len(header.pack()) :]
    data = START + chunk(b"HEAD", fields(header, **{field: value})) + body
    reader, items = read(data)
    assert [n for n, _ in frames(items)] == list(range(5))
    first = damages(items)[0]
    assert first.size == 0
    assert first.message.startswith(f"header: {line}")
    assert "is out of range; taken as" in first.message
    assert first.message.isascii()
    assert first.message.isprintable()
    if field != "time_base":
        unknown = make_header(encoder="")
        wanted = "" if field == "pixel_format" else getattr(unknown, field)
        assert getattr(reader.header, field) == (0 if field == "frame_rate" else wanted)
    else:
        assert reader.header.time_base == Fraction(1, 25)


@pytest.mark.parametrize(("at", "what"), [(0, "picture size 0x18"), (4, "GOP length 0")])
def test_a_sound_header_that_cannot_be_decoded_by_is_an_error(at: int, what: str) -> None:
    payload = bytearray(make_header().pack())
    payload[at : at + 2] = b"\x00\x00"
    data = START + chunk(b"HEAD", bytes(payload))
    with pytest.raises(StreamError, match=f"header at byte 10: {what}"):
        StreamReader(io.BytesIO(data))


def test_a_limit_on_pixels() -> None:
    out = io.BytesIO()
    StreamWriter(out, make_header(width=64, height=48)).close()
    assert StreamReader(io.BytesIO(out.getvalue()), max_pixels=64 * 48)
    with pytest.raises(StreamError, match=r"64x48 are 3072 pixels, more than the limit of 3071"):
        StreamReader(io.BytesIO(out.getvalue()), max_pixels=64 * 48 - 1)


def test_a_source_that_describes_itself_badly_costs_nothing_but_its_description() -> None:
    sound = make_header()
    given = {name: getattr(sound, name) for name in Header.__dataclass_fields__}
    header, lines = Header.mended(**{**given, "color_primaries": 256, "chroma_location": -1})
    assert header == sound
    assert lines == [
        "colour primaries 256 is out of range; taken as unknown",
        "chroma location -1 is out of range; taken as unknown",
    ]
    with pytest.raises(InputError, match="picture size 8x18"):
        Header.mended(**{**given, "width": 8})
