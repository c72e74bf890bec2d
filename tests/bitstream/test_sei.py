from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roicodec.bitstream import sei
from roicodec.errors import StreamError

u16 = st.integers(0, 65535)


def test_layout_is_two_big_endian_16_bit_integers() -> None:
    assert sei.pack(4, 16) == b"\x00\x04\x00\x10"
    assert sei.pack(0x0102, 0xFFFE) == b"\x01\x02\xff\xfe"


@given(u16, u16, st.binary())
def test_round_trip_ignores_what_follows(b_roi: int, b_bg: int, rest: bytes) -> None:
    packed = sei.pack(b_roi, b_bg)
    assert len(packed) == sei.SIZE
    assert sei.unpack(packed + rest) == (b_roi, b_bg)


@pytest.mark.parametrize("pair", [(-1, 4), (4, 65536)])
def test_out_of_range(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="16-bit"):
        sei.pack(*pair)


def test_too_short() -> None:
    with pytest.raises(StreamError, match="needs 4 bytes, 3 are there"):
        sei.unpack(b"\x00\x04\x00")
