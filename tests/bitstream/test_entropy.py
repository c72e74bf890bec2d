"""A second, independent decoder of entropy-coded sections, from docs/format.md alone."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from roicodec.bitstream.entropy import SymbolEncoder, Tables, integer_frequencies

TOTAL = 1 << 24


class RangeDecoder:
    """The range decoder of docs/format.md in plain integers."""

    def __init__(self, data: bytes) -> None:
        data += bytes(-len(data) % 4)
        self.words = list(struct.unpack(f">{len(data) // 4}I", data))
        self.low, self.range = 0, (1 << 64) - 1
        self.point = self.word() << 32 | self.word()

    def word(self) -> int:
        return self.words.pop(0) if self.words else 0

    def symbol(self, left: list[int]) -> int:
        """Column whose span ``left[j] .. left[j + 1]`` of 2**24 is next."""
        scale = self.range >> 24
        quantile = (self.point - self.low) % (1 << 64) // scale
        column = max(j for j in range(len(left) - 1) if left[j] <= quantile)
        self.low = (self.low + scale * left[column]) % (1 << 64)
        self.range = scale * (left[column + 1] - left[column])
        if self.range < 1 << 32:
            self.low = self.low << 32 & (1 << 64) - 1
            self.range <<= 32
            self.point = self.point << 32 & (1 << 64) - 1 | self.word()
        return column

    def row(self, frequencies: list[int]) -> int:
        size, total, left = len(frequencies), 0, []
        for column, frequency in enumerate(frequencies):
            left.append(total * (TOTAL - size) // (1 << 16) + column)
            total += frequency
        return self.symbol([*left, TOTAL])

    def equiprobable(self, size: int) -> int:
        return self.symbol([j * (TOTAL // size) for j in range(size)] + [TOTAL])


def decode(data: bytes, tables: Tables, index: list[int]) -> list[int]:
    coder = RangeDecoder(data)
    rows = tables.frequencies.tolist()
    out = [0] * len(index)
    for number in sorted(set(index)):
        row = rows[number]
        for place in (p for p, i in enumerate(index) if i == number):
            certain = sum(f > 0 for f in row) == 1
            column = row.index(1 << 16) if certain else coder.row(row)
            out[place] = tables.offset + column
    if tables.escape:
        high = tables.offset + len(rows[0]) - 2
        places = [p for p, s in enumerate(out) if s > high]
        signs = [coder.equiprobable(2) for _ in places]
        exponents = [coder.equiprobable(24) for _ in places]
        distances = [1 << e for e in exponents]
        for bit in range(23):
            for k, exponent in enumerate(exponents):
                if exponent > bit:
                    distances[k] |= coder.equiprobable(2) << bit
        for place, sign, distance in zip(places, signs, distances, strict=True):
            out[place] = tables.offset - distance if sign else high + distance
    return out


@given(st.data())
def test_sections_decode_by_the_written_definition(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 40))
    seed = data.draw(st.integers(0, 1 << 32))
    rng = np.random.default_rng(seed)
    count = data.draw(st.integers(0, 120))
    escape = data.draw(st.booleans())
    rows = integer_frequencies(rng.random((5, size)) ** 8 + 1e-9)
    rows[3] = 0
    rows[3, size // 2 - escape] = 1 << 16
    tables = Tables(rows, offset=-(size // 2), escape=escape)
    index = rng.integers(0, 5, count)
    symbols = rng.integers(tables.low, tables.high + 1, count)
    if escape and count:
        far = rng.random(count) < 0.2
        spread = 1 << data.draw(st.integers(1, 22))
        symbols[far] = rng.integers(-spread, spread, far.sum())
    symbols[index == 3] = tables.certain[3]
    encoder = SymbolEncoder()
    encoder.put(tables, symbols, index)
    assert decode(encoder.finish(), tables, index.tolist()) == symbols.tolist()


def test_extreme_frequencies() -> None:
    rows = np.array([[1, (1 << 16) - 2, 1], [(1 << 16) - 2, 1, 1]])
    tables = Tables(rows)
    index = np.tile([0, 1], 300)
    symbols = np.where(np.arange(600) % 97 < 2, 2, np.tile([1, 0], 300))
    encoder = SymbolEncoder()
    encoder.put(tables, symbols, index)
    assert decode(encoder.finish(), tables, index.tolist()) == symbols.tolist()


@given(st.integers(0, 1 << 32), st.integers(1, 40), st.booleans())
def test_sections_have_no_byte_too_many(seed: int, count: int, skewed: bool) -> None:
    rng = np.random.default_rng(seed)
    tables = Tables(integer_frequencies(rng.random((3, 6)) ** (12 if skewed else 1) + 1e-9))
    index = rng.integers(0, 3, count)
    symbols = rng.integers(0, 6, count)
    if skewed:
        symbols = tables.frequencies.argmax(1)[index]
    encoder = SymbolEncoder()
    encoder.put(tables, symbols, index)
    section = encoder.finish()
    assert decode(section, tables, index.tolist()) == symbols.tolist()
    if len(section) > 1:
        shorter = int.from_bytes(section[:-1], "big")
        for value in {shorter, shorter + 1} - {256 ** (len(section) - 1)}:
            cut = value.to_bytes(len(section) - 1, "big")
            assert not decodes_to(cut, tables, index.tolist(), symbols.tolist())


def decodes_to(data: bytes, tables: Tables, index: list[int], symbols: list[int]) -> bool:
    try:
        return decode(data, tables, index) == symbols
    except ValueError:
        return False
