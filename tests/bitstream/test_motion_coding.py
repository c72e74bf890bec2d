from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roicodec.bitstream.constants import VECTOR_LIMIT
from roicodec.bitstream.motion_bits import motion_bits
from roicodec.bitstream.motion_grid import stages
from roicodec.bitstream.motion_section import MotionReader
from roicodec.bitstream.motion_section import encode_motion as encode_section
from roicodec.errors import StreamError


def encode_motion(field: np.ndarray, previous: np.ndarray | None) -> bytes:
    """A section with this field and no skip map."""
    return encode_section(None, None, field, previous)


def decode_motion(data: bytes, shape: tuple[int, int], previous: np.ndarray | None) -> np.ndarray:
    grid = shape[0] // 2, shape[1] // 2
    return MotionReader(data, grid, None).vectors(shape, previous)


def blobs(rows: int, columns: int, seed: int) -> np.ndarray:
    """A background that pans, with two things that move on their own, and some stray vectors."""
    rng = np.random.default_rng(seed)
    field = np.tile(np.array((-6, 1), np.int16), (rows, columns, 1))
    for _ in range(2):
        y, x = rng.integers(0, rows), rng.integers(0, columns)
        field[y : y + 7, x : x + 5] = rng.integers(-40, 40, 2)
    stray = rng.random((rows, columns)) < 0.02
    field[stray] = rng.integers(-VECTOR_LIMIT, VECTOR_LIMIT + 1, (stray.sum(), 2))
    return field


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (8, 8), (8, 40), (48, 16), (30, 54)])
@pytest.mark.parametrize("with_previous", [False, True])
def test_round_trip(rows: int, columns: int, with_previous: bool) -> None:
    field = blobs(rows, columns, seed=rows)
    previous = blobs(rows, columns, seed=rows + 1) if with_previous else None
    data = encode_motion(field, previous)
    decoded = decode_motion(data, (rows, columns), previous)
    assert decoded.dtype == np.int16
    np.testing.assert_array_equal(decoded, field)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1), st.integers(1, 2047))
def test_any_field_survives(rows: int, columns: int, seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    field = rng.integers(-limit, limit + 1, (2 * rows, 2 * columns, 2)).astype(np.int16)
    data = encode_motion(field, None)
    np.testing.assert_array_equal(decode_motion(data, field.shape[:2], None), field)


def test_nothing_moves_costs_nothing() -> None:
    still = np.zeros((96, 160, 2), np.int16)
    assert encode_motion(still, None) == b""
    assert not decode_motion(b"", (96, 160), None).any()


def test_a_pan_costs_a_few_tens_of_bytes() -> None:
    pan = np.tile(np.array((-9, 3), np.int16), (96, 160, 1))
    assert len(encode_motion(pan, None)) <= 60
    assert len(encode_motion(pan, pan)) <= 40


def test_the_frame_before_helps() -> None:
    field = blobs(40, 48, seed=3)
    assert len(encode_motion(field, field)) < 0.8 * len(encode_motion(field, None))


def test_bits_match_the_bytes_written() -> None:
    field = blobs(40, 48, seed=4)
    for previous in (None, blobs(40, 48, seed=5)):
        bits = motion_bits(field, previous)
        assert bits <= 8 * len(encode_motion(field, previous)) <= bits + 16


def test_damage_gives_an_error_or_bounded_vectors() -> None:
    field = blobs(40, 48, seed=6)
    data = encode_motion(field, None)
    rng = np.random.default_rng(7)
    sections = [data[:kept] for kept in range(0, len(data), 4)]
    for _ in range(40):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << rng.integers(8)
        sections.append(bytes(broken))
    errors = 0
    for section in sections:
        try:
            decoded = decode_motion(section, (40, 48), None)
        except StreamError:
            errors += 1
        else:
            assert decoded.shape == (40, 48, 2)
            assert np.abs(decoded.astype(int)).max() <= VECTOR_LIMIT
    assert errors < len(sections)
    with pytest.raises(StreamError):
        decode_motion(b"\xff" * len(data), (40, 48), None)


def test_what_cannot_be_coded_is_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        encode_motion(np.ones((3, 4, 2), np.int16), None)
    with pytest.raises(ValueError, match="longer"):
        encode_motion(np.full((4, 4, 2), VECTOR_LIMIT + 1, np.int16), None)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (4, 4), (5, 12), (24, 40), (144, 256)])
def test_stages_visit_every_unit_once_after_its_neighbours(rows: int, columns: int) -> None:
    seen = np.zeros(rows * columns, bool)
    for stage in stages(rows, columns):
        assert not seen[stage.units].any()
        assert seen[stage.near[stage.known]].all()
        seen[stage.units] = True
    assert seen.all()
