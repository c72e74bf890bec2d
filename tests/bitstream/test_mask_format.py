"""A second, independent decoder of mask sections, cell by cell, from docs/format.md alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from roicodec.bitstream.mask_coding import encode_mask
from roicodec.bitstream.mask_tables import INTER, INTRA
from roicodec.bitstream.masks import Mask
from tests.bitstream.test_entropy import RangeDecoder


def stages(rows: int, columns: int) -> list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """Of every stage its cells and the offsets of its neighbours."""
    cells = [(r, c) for r in range(rows) for c in range(columns)]
    out: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]
    out = [([(r, c) for r, c in cells if r % 8 == 0 and c % 8 == 0], [])]
    for n in (8, 4, 2):
        d = n // 2
        diagonal = [(r, c) for r, c in cells if r % n == d and c % n == d]
        axial = [(r, c) for r, c in cells if {r % n, c % n} == {0, d}]
        out.append((diagonal, [(-d, -d), (-d, d), (d, -d), (d, d)]))
        out.append((axial, [(-d, 0), (d, 0), (0, -d), (0, d)]))
    return out


def decode(data: bytes, rows: int, columns: int, before: Mask | None) -> Mask:
    if not data:
        return np.zeros((rows, columns), bool) if before is None else before
    coder = RangeDecoder(data)
    mask = np.zeros((rows, columns), bool)

    def moved(place: int, offset: int, size: int) -> int | None:
        for there in (place + offset, place - offset):
            if 0 <= there < size:
                return there
        return None

    def around(source: Mask, r: int, c: int, offsets: list[tuple[int, int]]) -> int:
        places = [(moved(r, dr, rows), moved(c, dc, columns)) for dr, dc in offsets]
        return sum(bool(source[p]) for p in places if None not in p)

    for number, (cells, offsets) in enumerate(stages(rows, columns)):
        index = []
        for r, c in cells:
            table = around(mask, r, c, offsets)
            if before is None:
                table += 5 * number
            else:
                change = table - around(before, r, c, offsets)
                near = sum(
                    bool(before[min(max(r + dr, 0), rows - 1), min(max(c + dc, 0), columns - 1)])
                    for dr, dc in ((-1, 0), (1, 0), (0, -1), (0, 1))
                )
                own = int(before[r, c])
                context = ((own * 5 + near) * 5 + min(max(change, -2), 2) + 2) * 5 + table
                table = 35 + 250 * number + context
            index.append(table)
        for table in sorted(set(index)):
            one = 16 * (INTRA + INTER)[table]
            for place in (p for p, i in enumerate(index) if i == table):
                mask[cells[place]] = coder.row([(1 << 16) - one, one])
    return mask


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_masks_decode_by_the_written_definition(data: st.DataObject) -> None:
    shape = data.draw(st.integers(1, 21)), data.draw(st.integers(1, 21))
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    mask = random.random(shape) < data.draw(st.sampled_from([0.1, 0.5, 0.9]))
    before = None
    if data.draw(st.booleans()):
        before = mask ^ (random.random(shape) < data.draw(st.sampled_from([0.02, 0.5])))
    assert np.array_equal(decode(encode_mask(mask, before), *shape, before), mask)
