from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roicodec.bitstream.crc import SpanCrc, flipped_bit


@given(st.integers(0, 1 << 32))
def test_spans_of_a_buffer_whose_front_is_dropped(seed: int) -> None:
    rng = random.Random(seed)
    buffer, offset, crc = bytearray(rng.randbytes(rng.randrange(20_000, 60_000))), 0, SpanCrc()
    for _ in range(12):
        if rng.random() < 0.5 and len(buffer) > 12_000:
            dropped = rng.randrange(min(len(buffer) - 9_000, 6_000))
            del buffer[:dropped]
            offset += dropped
        start = rng.randrange(len(buffer))
        end = rng.randrange(start, len(buffer) + 1)
        assert crc(buffer, offset, start, end) == zlib.crc32(buffer[start:end])


@pytest.mark.parametrize("size", [1, 2, 4095, 4096, 4097, 100_000])
def test_a_flipped_bit_is_located(size: int) -> None:
    rng = random.Random(size)
    data = bytearray(rng.randbytes(size))
    stored = zlib.crc32(data)
    for place in [0, 8 * size - 1, *(rng.randrange(8 * size) for _ in range(50))]:
        byte, bit = divmod(place, 8)
        data[byte] ^= 1 << bit
        distance = flipped_bit(zlib.crc32(data) ^ stored, size)
        data[byte] ^= 1 << bit
        assert distance == 8 * (size - 1 - byte) + 7 - bit
    for bit in range(32):
        assert flipped_bit(1 << bit, size) == -1


def test_two_flipped_bits_are_not_taken_for_one() -> None:
    rng = random.Random(7)
    for _ in range(2000):
        data = bytearray(rng.randbytes(300))
        stored = zlib.crc32(data)
        for place in rng.sample(range(2400), 2):
            data[place // 8] ^= 1 << place % 8
        assert flipped_bit(zlib.crc32(data) ^ stored, 300) is None
