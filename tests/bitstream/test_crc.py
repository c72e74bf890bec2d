from __future__ import annotations

import random
import zlib

from hypothesis import given
from hypothesis import strategies as st

from roicodec.bitstream.crc import SpanCrc


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
