"""Native forms of the syntax of masks and motion against their references, damaged bytes too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roicodec.bitstream.entropy import SymbolDecoder
from roicodec.bitstream.mask_coding import Kind, _tables, decode_cells, encode_cells, get_mask
from roicodec.bitstream.motion_coding import Field, decode_field, encode_field, get_motion
from roicodec.bitstream.motion_trees import ContextTree, shipped_contexts
from roicodec.bitstream.motion_walk import CODED
from roicodec.bitstream.range_coder import (
    NativeDecoder,
    NativeEncoder,
    ReferenceDecoder,
    ReferenceEncoder,
)
from roicodec.errors import StreamError
from roicodec.kernels import native

pytestmark = pytest.mark.skipif(native.library() is None, reason=native.reason())

T = TypeVar("T")


def outcome(read: Callable[[], T]) -> T | str:
    """What is read, or why it is not."""
    try:
        return read()
    except StreamError as error:
        return str(error)


def both(operation: Any, data: bytes, *arguments: Any) -> Any:
    """What both forms read of some bytes, which must be the same."""
    one: Any = outcome(lambda: operation.reference(ReferenceDecoder(data), *arguments))
    other: Any = outcome(lambda: operation.native(NativeDecoder(data), *arguments))
    if isinstance(one, str):
        assert other == one
    else:
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(other, one)
    return one


def written(operation: Any, *arguments: Any) -> bytes:
    """What both forms write, which must be the same."""
    one, other = ReferenceEncoder(), NativeEncoder()
    operation.reference(one, *arguments)
    operation.native(other, *arguments)
    section = other.finish()
    assert section == one.finish()
    return section


def some_field(rng: np.random.Generator, shape: tuple[int, int], reach: int) -> Field:
    """Vectors of which many are alike."""
    palette = rng.integers(-reach, reach + 1, (int(rng.integers(1, 6)), 2))
    field = palette[rng.integers(0, len(palette), shape)]
    wild = rng.random(shape) < rng.choice([0, 0.05, 0.6])
    field[wild] = rng.integers(-reach, reach + 1, (wild.sum(), 2))
    return field.astype(np.int16)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_fields(seed: int, rows: int, columns: int, with_previous: bool) -> None:
    rng = np.random.default_rng(seed)
    shape, contexts = (2 * rows, 2 * columns), shipped_contexts()
    reach = int(rng.choice([3, 60, 2047]))
    field = some_field(rng, shape, reach)
    previous = some_field(rng, shape, reach) if with_previous else None
    if previous is not None and seed % 3:
        keep = rng.random(shape) < 0.8
        field[keep] = previous[keep]
    needs = rng.integers(0, 3, (rows, columns)).astype(np.uint8) if seed % 5 < 3 else None
    one, other = ReferenceEncoder(), NativeEncoder()
    settled = encode_field.reference(one, field, previous, needs, contexts)
    np.testing.assert_array_equal(
        encode_field.native(other, field, previous, needs, contexts), settled
    )
    section = one.finish()
    assert other.finish() == section
    coded = np.ones((rows, columns), np.bool_) if needs is None else needs == CODED
    coded = coded.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(settled[coded], field[coded])
    read = both(decode_field, section, shape, previous, needs, contexts)
    np.testing.assert_array_equal(read, settled)
    section = section or b"0"
    damaged = bytearray(section)
    for _ in range(3):
        damaged[int(rng.integers(0, len(damaged)))] ^= 1 << int(rng.integers(0, 8))
        made = both(decode_field, bytes(damaged), shape, previous, needs, contexts)
        assert isinstance(made, str) or abs(made).max() <= 2047
    both(decode_field, section[: len(section) // 2], shape, previous, needs, contexts)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32), st.binary(max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_fields_of_any_bytes(seed: int, data: bytes, rows: int, columns: int) -> None:
    rng, shape = np.random.default_rng(seed), (2 * rows, 2 * columns)
    previous = some_field(rng, shape, 2047) if seed % 2 else None
    both(decode_field, data, shape, previous, None, shipped_contexts())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_masks(seed: int, rows: int, columns: int, with_previous: bool) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, columns)) < rng.choice([0, 0.1, 0.5, 1])
    previous = mask ^ (rng.random(mask.shape) < 0.1) if with_previous else None
    kind: Kind = "roi" if seed % 2 else "skip"
    section = written(encode_cells, mask, previous, _tables(kind))
    arguments = mask.shape, previous, _tables(kind)
    np.testing.assert_array_equal(both(decode_cells, section, *arguments), mask)
    for data in (section[1:], section[::-1], rng.bytes(40)):
        both(decode_cells, data, *arguments)


def test_native_forms_take_any_coder() -> None:
    rng = np.random.default_rng(0)
    field, mask = some_field(rng, (8, 12), 99), rng.random((5, 7)) < 0.5
    encoder = ReferenceEncoder()
    encode_field.native(encoder, field, None, None, shipped_contexts())
    encode_cells.native(encoder, mask, None, _tables("roi"))
    decoder = ReferenceDecoder(encoder.finish())
    made = decode_field.native(decoder, (8, 12), None, None, shipped_contexts())
    np.testing.assert_array_equal(made, field)
    read = decode_cells.native(decoder, (5, 7), None, _tables("roi"))
    np.testing.assert_array_equal(read, mask)


def test_shapes_of_the_frame_before_are_checked() -> None:
    with pytest.raises(ValueError, match="after one of"):
        get_motion(SymbolDecoder(b"a"), (4, 4), np.zeros((4, 6, 2), np.int16))
    with pytest.raises(ValueError, match="previous mask is"):
        get_mask(SymbolDecoder(b"a"), (4, 4), np.zeros((4, 5), np.bool_), "roi")


@pytest.mark.parametrize(
    "nodes",
    [
        [(14, 0, 2), (-1, 0, 0), (-1, 0, 1)],
        [(0, 0, 3), (-1, 0, 0), (-1, 0, 1)],
        [(0, 0, 0), (-1, 0, 0), (-1, 0, 1)],
        [(0, 0, 2), (-1, 0, 9), (-1, 0, 1)],
        [(-1, 0, 0), (0, 0, 0)],
    ],
)
def test_trees_that_lead_nowhere_are_refused(nodes: list[tuple[int, int, int]]) -> None:
    tree = ContextTree(*np.array(nodes, np.int32).T)
    with pytest.raises(ValueError, match="leads nowhere"):
        tree.nodes(14, 2)
