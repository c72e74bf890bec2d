"""Quality maps: a second, independent decoder, cell by cell, from docs/format.md alone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from roicodec.bitstream.entropy import SymbolEncoder
from roicodec.bitstream.map_tables import ROWS
from roicodec.bitstream.quality_map import CONTEXTS, _tables, decode_map, encode_map
from roicodec.errors import StreamError
from tests.bitstream.test_entropy import RangeDecoder
from tests.bitstream.test_mask_format import stages

Cells = NDArray[np.int64]
Place = tuple[int, int]


def escaped(coder: RangeDecoder, count: int) -> list[int]:
    """Symbols behind an escape, as "Coding an array" says."""
    below = [coder.equiprobable(2) for _ in range(count)]
    digits = [coder.equiprobable(24) for _ in range(count)]
    distance = [1 << e for e in digits]
    for b in range(23):
        for k in range(count):
            if digits[k] > b:
                distance[k] += coder.equiprobable(2) << b
    return [-4 - d if g else 4 + d for g, d in zip(below, distance, strict=True)]


def decode(data: bytes, computed: NDArray[np.bool_], before: Cells | None) -> Cells:
    rows, columns = computed.shape
    known = np.zeros((rows, columns), np.int64) if before is None else before
    if not data:
        return known
    coder, offsets = RangeDecoder(data), np.zeros((rows, columns), np.int64)

    def near(r: int, c: int, moves: list[Place]) -> list[Place]:
        found = []
        for dr, dc in moves:
            row = next((y for y in (r + dr, r - dr) if 0 <= y < rows), None)
            column = next((x for x in (c + dc, c - dc) if 0 <= x < columns), None)
            if row is not None and column is not None:
                found.append((row, column))
        return found

    def mean(values: list[int]) -> int:
        n = len(values)
        return (2 * sum(values) + n) // (2 * n) if n else 0

    for number, (cells, moves) in enumerate(stages(rows, columns)):
        expected, tables = {}, {}
        for r, c in cells:
            around = near(r, c, moves)
            own = [int(offsets[p]) for p in around]
            E, follows = mean(own), 0
            e = sum(abs(o - E) for o in own)
            if before is not None:
                change = [int(offsets[p] - known[p]) for p in around]
                D = mean(change)
                other = sum(abs(x - D) for x in change)
                if other <= e:
                    E, e, follows = min(max(int(known[r, c]) + D, -10), 10), other, 1
            group = 0 if number == 0 else 1 if number < 5 else 2
            expected[r, c] = E
            tables[r, c] = 10 * group + 5 * follows + sum(k <= e for k in (1, 3, 6, 12))
        coded = [p for p in cells if computed[p]]
        symbols: dict[Place, int] = {}
        for table in sorted({tables[p] for p in coded}):
            for p in coded:
                if tables[p] == table:
                    symbols[p] = coder.row(list(ROWS[table])) - 4
        far = [p for p in coded if symbols[p] == 5]
        symbols |= dict(zip(far, escaped(coder, len(far)), strict=True))
        for p in cells:
            offsets[p] = expected[p] + symbols.get(p, 0)
    return offsets


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_maps_decode_by_the_written_definition(data: st.DataObject) -> None:
    shape = data.draw(st.integers(1, 19)), data.draw(st.integers(1, 19))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    span = data.draw(st.sampled_from([1, 3, 10]))
    smooth = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) // 2 % 7 - 3
    wanted = np.clip(smooth + rng.integers(-span, span + 1, shape), -10, 10).astype(np.int8)
    before = None
    if data.draw(st.booleans()):
        changed = rng.random(shape) < data.draw(st.sampled_from([0.02, 0.5]))
        before = np.where(changed, rng.integers(-10, 11, shape), wanted).astype(np.int8)
    computed = rng.random(shape) < data.draw(st.sampled_from([0.1, 0.6, 1.0]))
    coded = encode_map(wanted, computed, before)
    found = decode_map(coded, computed, before)
    whole = np.zeros(shape, np.int8) if found is None else found
    assert np.array_equal(whole[computed], wanted[computed])
    known = None if before is None else before.astype(np.int64)
    assert np.array_equal(decode(coded, computed, known), whole)
    # What a decoder has is coded alike: the encoder's reference is the decoder's.
    assert encode_map(found, computed, before) == coded


def test_the_example_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    example = re.search(r"where the offset is the row plus the column, is\n`([0-9a-f ]+)`", page)
    assert example is not None
    wanted = np.add.outer(np.arange(3), np.arange(4))
    computed = np.ones((3, 4), np.bool_)
    assert np.array_equal(decode(bytes.fromhex(example[1]), computed, None), wanted)
    assert encode_map(wanted.astype(np.int8), computed, None) == bytes.fromhex(example[1])


def test_what_is_as_before_takes_no_bytes() -> None:
    rng = np.random.default_rng(3)
    before = rng.integers(-10, 11, (5, 6)).astype(np.int8)
    computed = rng.random((5, 6)) < 0.5
    other = np.where(computed, before, 0).astype(np.int8)
    assert encode_map(other, computed, before) == b""
    assert decode_map(b"", computed, before) is before
    assert encode_map(None, computed, None) == b""
    assert decode_map(b"", computed, None) is None
    flat = encode_map(None, computed, before)
    assert flat
    found = decode_map(flat, computed, before)
    assert found is None or not found[computed].any()


def test_offsets_beyond_the_limit_are_refused() -> None:
    computed = np.ones((1, 1), np.bool_)
    with pytest.raises(ValueError, match="beyond 10 steps"):
        encode_map(np.full((1, 1), 11, np.int8), computed, None)
    encoder = SymbolEncoder()
    encoder.put(_tables(), [11], [0])
    with pytest.raises(StreamError, match="beyond 10 steps"):
        decode_map(encoder.finish(), computed, None)


def test_there_is_a_table_for_every_context() -> None:
    assert len(ROWS) == CONTEXTS == 30
    assert all(sum(row) == 1 << 16 and min(row) > 0 for row in ROWS)
