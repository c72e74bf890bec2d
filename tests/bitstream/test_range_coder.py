"""The native range coder against the reference, in both directions and on damaged sections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roicodec.bitstream.range_coder import (
    NativeDecoder,
    NativeEncoder,
    RangeDecoder,
    ReferenceDecoder,
    ReferenceEncoder,
)
from roicodec.bitstream.tables import Ints, Tables, integer_frequencies
from roicodec.errors import StreamError
from roicodec.kernels import native

pytestmark = pytest.mark.skipif(native.library() is None, reason=native.reason())


def some_tables(rng: np.random.Generator, size: int, *, escape: bool) -> Tables:
    rows = integer_frequencies(rng.random((6, size)) ** rng.choice([1, 8, 40]) + 1e-9)
    certain = int(rng.integers(0, size))
    rows[3] = 0
    rows[3, certain] = 1 << 16
    if size > 2:
        # A symbol that frequencies rule out can be coded all the same.
        rows[4, 0] += rows[4, 1]
        rows[4, 1] = 0
    return Tables(rows, offset=int(rng.integers(-size, 3)), escape=escape)


def some_symbols(rng: np.random.Generator, tables: Tables, count: int) -> tuple[Ints, Ints]:
    index = rng.integers(0, len(tables), count)
    symbols = rng.integers(tables.low, tables.high + 1, count)
    if tables.escape:
        far = rng.random(count) < rng.choice([0, 0.02, 0.9])
        spread = 1 << int(rng.integers(1, 24))
        symbols[far] = rng.integers(tables.low - spread + 1, tables.high + spread, far.sum())
    certain = tables.certain[3]
    symbols[index == 3] = certain
    return symbols.astype(np.int32), index.astype(np.int32)


def outcome(decoder: RangeDecoder, tables: list[Tables], indices: list[Ints]) -> list[list[int]]:
    """Everything that is read until the section ends or fails."""
    found: list[list[int]] = []
    try:
        for table, index in zip(tables, indices, strict=True):
            found.append(decoder.get(table, index).tolist())
            found.append(decoder.get_uniform(len(index) % 7, 3 + len(index)).tolist())
    except StreamError as error:
        found.append([hash(str(error))])
    return found


@given(st.integers(0, 1 << 32))
def test_the_same_bytes_and_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = ReferenceEncoder(), NativeEncoder()
    tables, coded = [], []
    for _ in range(int(rng.integers(0, 5))):
        size = int(rng.integers(2, 300))
        tables.append(some_tables(rng, size, escape=bool(rng.integers(0, 2))))
        symbols, index = some_symbols(rng, tables[-1], int(rng.integers(0, 60)))
        values = rng.integers(0, 3 + len(index), len(index) % 7).astype(np.int32)
        for encoder in (one, other):
            encoder.put(tables[-1], symbols, index)
            encoder.put_uniform(values, 3 + len(index))
        coded.append((symbols, index, values))
    section = other.finish()
    assert section == one.finish()
    indices = [index for _, index, _ in coded]
    expected = [x.tolist() for symbols, _, values in coded for x in (symbols, values)]
    for decoder in (ReferenceDecoder(section), NativeDecoder(section)):
        assert outcome(decoder, tables, indices) == expected


@given(st.integers(0, 1 << 32), st.binary(max_size=60))
def test_damaged_sections_are_read_alike(seed: int, section: bytes) -> None:
    rng = np.random.default_rng(seed)
    tables = [some_tables(rng, int(rng.integers(2, 70)), escape=True) for _ in range(3)]
    indices = [rng.integers(0, 6, int(rng.integers(0, 90))).astype(np.int32) for _ in tables]
    one = outcome(ReferenceDecoder(section), tables, indices)
    assert outcome(NativeDecoder(section), tables, indices) == one


def test_some_sections_cannot_be_read() -> None:
    # The last 2^16 of the 2^64 belong to no symbol.
    with pytest.raises(StreamError, match="damaged"):
        NativeDecoder(b"\xff" * 8).get_uniform(9, 2)


def test_carries_run_through_settled_words() -> None:
    tables = Tables([[(1 << 16) - 1, 1], [1, (1 << 16) - 1]])
    for length in range(1, 400, 7):
        index = np.zeros(length, np.int32)
        symbols = np.zeros(length, np.int32)
        symbols[-1] = 1
        index[length // 2 :] = 1
        symbols[length // 2 : -1] = 1
        one, other = ReferenceEncoder(), NativeEncoder()
        for encoder in (one, other):
            for s, i in zip(symbols, index, strict=True):
                encoder.put(tables, np.array([s]), np.array([i]))
        assert one.finish() == other.finish()


@pytest.mark.parametrize("make", [ReferenceEncoder, NativeEncoder])
def test_what_cannot_be_coded_is_refused(make: type[NativeEncoder]) -> None:
    plain = Tables([[1 << 15, 1 << 15], [1 << 16, 0]])
    escape = Tables([[1 << 15, 1 << 15]], escape=True)
    for tables, symbol, number, match in (
        (plain, 2, 0, "outside the alphabet"),
        (plain, -1, 0, "outside the alphabet"),
        (plain, 1, 1, "one symbol only"),
        (escape, 1 << 24, 0, "further than"),
        (escape, -(1 << 31), 0, "further than"),
    ):
        with pytest.raises(ValueError, match=match):
            make().put(tables, np.array([symbol], np.int32), np.array([number], np.int32))
    with pytest.raises(IndexError):
        make().put(plain, np.array([0], np.int32), np.array([2], np.int32))


def test_numbers_of_tables_are_checked() -> None:
    for number in (-1, 2, 1 << 30):
        with pytest.raises(IndexError, match="there is not"):
            NativeDecoder(b"abc").get(Tables([[1 << 15] * 2] * 2), np.array([number], np.int32))
