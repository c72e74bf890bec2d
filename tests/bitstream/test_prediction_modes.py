"""Prediction modes, and the two fields of a bidirectional frame, by the format's text."""

from __future__ import annotations

import numpy as np
import pytest

from roicodec.bitstream.motion_section import Bidirectional, MotionReader, encode_motion, settled
from tests.bitstream.test_motion_section import Reader, field

NEEDS = (("coded", "coded", "free", "expected"), ("coded", "free", "coded", "expected"))
"""What is known of a unit's vectors, to the past and to the future, by the mode of its cell."""


def patches(rows: int, columns: int, seed: int) -> np.ndarray:
    """Modes of cells: patches of each, and some alone."""
    rng = np.random.default_rng(seed)
    out = np.full((rows, columns), rng.integers(4), np.uint8)
    for _ in range(5):
        y, x = rng.integers(0, rows), rng.integers(0, columns)
        out[y : y + 3, x : x + 4] = rng.integers(4)
    alone = rng.random((rows, columns)) < 0.15
    out[alone] = rng.integers(0, 4, alone.sum())
    return out


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (24, 16), (16, 40), (2, 2), (14, 26)])
@pytest.mark.parametrize("known", [False, True])
def test_the_text_suffices_for_two_fields_and_their_modes(
    rows: int, columns: int, known: bool
) -> None:
    """Vectors that are not coded are free or expected, for writer, reader and text alike."""
    seed, cells = rows * columns + known, (rows // 2, columns // 2)
    past, future, likely_past, likely_future = (field(rows, columns, seed + k) for k in range(4))
    modes = patches(*cells, seed)
    expected = (likely_past, likely_future) if known else (None, None)
    both = Bidirectional(future, modes, expected[1])
    data = encode_motion(None, None, past, expected[0], both=both)
    reader = MotionReader(data, cells, None)
    read = reader.bidirectional((rows, columns), expected)
    np.testing.assert_array_equal(read[2], modes)
    for one, other in zip(read, settled(past, expected[0], both), strict=False):
        np.testing.assert_array_equal(one, other)
    text = Reader(data, (rows, columns), None)
    if (modes == 3).all():
        assert not data
        return
    assert text.modes() == {u: modes[u] for u in text.grid}
    fine = modes.repeat(2, 0).repeat(2, 1)
    fields = zip((past, future), read[:2], expected, strict=True)
    for (given, made, before), names in zip(fields, NEEDS, strict=True):
        text.expect(before)
        needs = {u: names[modes[u]] for u in text.grid}
        np.testing.assert_array_equal(text.decode(needs), made)
        coded = np.array(names)[fine] == "coded"
        np.testing.assert_array_equal(made[coded], given[coded])
        if before is not None:
            np.testing.assert_array_equal(made[fine == 3], before[fine == 3])


@pytest.mark.parametrize("known", [False, True])
def test_a_bidirectional_frame_of_direct_cells_costs_nothing(known: bool) -> None:
    past, future = (field(14, 26, seed) if known else None for seed in (1, 2))
    modes = np.full((7, 13), 3, np.uint8)
    vectors = field(14, 26, 5)
    both = Bidirectional(vectors, modes, future)
    assert not encode_motion(None, None, vectors, past, both=both)
    read = MotionReader(b"", (7, 13), None).bidirectional((14, 26), (past, future))
    for one, other in zip(read, (past, future), strict=False):
        np.testing.assert_array_equal(one, np.zeros((14, 26, 2)) if other is None else other)
    np.testing.assert_array_equal(read[2], modes)
