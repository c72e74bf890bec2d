"""Entropy coding of ROI masks and skip maps on the 16x16 grid.

All cells of a stage (:mod:`roicodec.bitstream.lattice`) are coded at once, each in a context of its
four coded neighbours and, when there is one, the previous mask. Byte-exact layout:
``docs/format.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal, get_args

import numpy as np

from roicodec.bitstream import mask_tables, skip_tables
from roicodec.bitstream.entropy import PRECISION, Ints, SymbolDecoder, SymbolEncoder, Tables
from roicodec.bitstream.lattice import STAGES, Index, Stage, stages
from roicodec.bitstream.masks import Mask
from roicodec.bitstream.range_coder import (
    NativeDecoder,
    NativeEncoder,
    RangeDecoder,
    RangeEncoder,
    check,
    range_decoder,
    range_encoder,
)
from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = [
    "INTER_CONTEXTS",
    "INTRA_CONTEXTS",
    "Kind",
    "contexts",
    "decode_cells",
    "decode_mask",
    "encode_cells",
    "encode_mask",
    "get_mask",
    "put_mask",
    "unchanged",
]

Kind = Literal["roi", "skip"]
"""Meaning of a mask, which chooses the tables that code it."""

INTRA_CONTEXTS = 5
INTER_CONTEXTS = 250
"""Contexts of each stage, without and with a previous mask."""


def encode_mask(mask: Mask, previous: Mask | None) -> bytes:
    """Code a mask; no bytes at all when nothing changed.

    Args:
        mask: bool ``[rows, columns]``.
        previous: the mask of the frame before, of the same shape; ``None`` for a frame that must
            be decodable alone, which starts from a mask without ROI.

    Returns:
        What :func:`decode_mask` needs to get the mask back.
    """
    if np.array_equal(mask, unchanged(mask.shape, previous)):
        return b""
    encoder = SymbolEncoder()
    put_mask(encoder, mask, previous, "roi")
    return encoder.finish()


def decode_mask(data: bytes, shape: tuple[int, int], previous: Mask | None) -> Mask:
    """Mask that :func:`encode_mask` wrote for the same ``previous``, bool of ``shape``.

    Raises:
        StreamError: if the data cannot be decoded. Damaged data may also give a wrong mask: check
            the chunk's CRC first.
    """
    if not data:
        return unchanged(shape, previous).copy()
    return get_mask(SymbolDecoder(data), shape, previous, "roi")


def put_mask(encoder: SymbolEncoder, mask: Mask, previous: Mask | None, kind: Kind) -> None:
    """Code a mask, as :func:`encode_mask` but changed or not, in a run that holds more."""
    if previous is not None:
        unchanged(mask.shape, previous)
    encode_cells(encoder.coder, mask, previous, _tables(kind))


def get_mask(
    decoder: SymbolDecoder, shape: tuple[int, int], previous: Mask | None, kind: Kind
) -> Mask:
    """Mask that :func:`put_mask` wrote.

    Raises:
        StreamError: as :func:`decode_mask`.
    """
    if previous is not None:
        unchanged(shape, previous)
    return decode_cells(decoder.coder, shape, previous, _tables(kind))


def contexts(flat: Mask, previous: Mask | None) -> list[tuple[Index, Index]]:
    """Cells that each stage codes and the context of each cell, for fitting tables.

    Args:
        flat: the mask, bool ``[rows, columns]``.
        previous: as in :func:`encode_mask`.
    """
    return [(stage.cells, _context(stage, flat.ravel(), previous)) for stage in stages(*flat.shape)]


def unchanged(shape: tuple[int, ...], previous: Mask | None) -> Mask:
    """The mask that takes no bytes: the previous one, or none of the cells.

    Raises:
        ValueError: if the previous mask has another shape.
    """
    if previous is None:
        return np.zeros(shape, np.bool_)
    if previous.shape != shape:
        raise ValueError(f"previous mask is {previous.shape}, the mask {shape}")
    return previous


def _context(stage: Stage, flat: Mask, previous: Mask | None) -> Index:
    """Context number of each cell of a stage; reads only cells of earlier stages."""
    around = (flat[stage.neighbours] * stage.inside).sum(0)
    if previous is None:
        return np.asarray(around, np.intp)
    before = previous.ravel()
    change = around - (before[stage.neighbours] * stage.inside).sum(0)
    near = before[stage.near].sum(0)
    parts = (before[stage.cells] * 5 + near) * 5 + np.clip(change, -2, 2) + 2
    return np.asarray(parts * 5 + around, np.intp)


def _tables_of(number: int, stage: Stage, flat: Mask, previous: Mask | None) -> Ints:
    first = number * INTRA_CONTEXTS
    if previous is not None:
        first = STAGES * INTRA_CONTEXTS + number * INTER_CONTEXTS
    return (first + _context(stage, flat, previous)).astype(np.int32)


@cache
def _tables(kind: Kind) -> Tables:
    """One table per stage and context: those without a previous mask, then those with one."""
    fitted = mask_tables if kind == "roi" else skip_tables
    chances = np.array(fitted.INTRA + fitted.INTER, np.int64)
    ones = chances << (PRECISION - fitted.PRECISION_BITS)
    return Tables(np.stack([(1 << PRECISION) - ones, ones], 1))


# --- both forms ---------------------------------------------------------------------------------


def _encode_cells(encoder: RangeEncoder, mask: Mask, previous: Mask | None, tables: Tables) -> None:
    flat = mask.ravel()
    for number, stage in enumerate(stages(*mask.shape)):
        values = flat[stage.cells].astype(np.int32)
        encoder.put(tables, values, _tables_of(number, stage, flat, previous))


def _decode_cells(
    decoder: RangeDecoder, shape: tuple[int, int], previous: Mask | None, tables: Tables
) -> Mask:
    flat = np.zeros(shape[0] * shape[1], np.bool_)
    for number, stage in enumerate(stages(*shape)):
        flat[stage.cells] = decoder.get(tables, _tables_of(number, stage, flat, previous))
    return flat.reshape(shape)


def _native_encode_cells(
    encoder: RangeEncoder, mask: Mask, previous: Mask | None, tables: Tables
) -> None:
    if not isinstance(encoder, NativeEncoder):
        return _encode_cells(encoder, mask, previous, tables)
    _call("rq_encode_mask", encoder.state, np.ascontiguousarray(mask), previous, tables)
    return None


def _native_decode_cells(
    decoder: RangeDecoder, shape: tuple[int, int], previous: Mask | None, tables: Tables
) -> Mask:
    if not isinstance(decoder, NativeDecoder):
        return _decode_cells(decoder, shape, previous, tables)
    mask = np.empty(shape, np.bool_)
    _call("rq_decode_mask", decoder.state, mask, previous, tables)
    return mask


def _call(name: str, state: int, mask: Mask, previous: Mask | None, tables: Tables) -> None:
    before = None if previous is None else np.ascontiguousarray(previous)
    check(
        function(name, "ppllpp", "i")(
            state, address(tables.laid_out, np.int64), *mask.shape,
            None if before is None else address(before, np.bool_), address(mask, np.bool_),
        )
    )  # fmt: skip


def _probe_masks() -> Iterator[tuple[Mask, Mask | None]]:
    """Masks of several shapes, with and without one before."""
    for rows, columns in ((1, 1), (3, 17), (23, 40)):
        row, column = np.indices((rows, columns))
        mask = (row - rows // 2) ** 2 + (column - columns // 3) ** 2 < 30
        yield mask, None
        yield mask ^ (row * column % 13 == 5), mask


def _probe_encode(form: Callable[[RangeEncoder, Mask, Mask | None, Tables], None]) -> Arrays:
    for kind in get_args(Kind):
        for mask, previous in _probe_masks():
            encoder = range_encoder()
            form(encoder, mask, previous, _tables(kind))
            yield np.frombuffer(encoder.finish(), np.uint8)


def _probe_decode(
    form: Callable[[RangeDecoder, tuple[int, int], Mask | None, Tables], Mask],
) -> Arrays:
    data = (np.arange(300) ** 3 % 251).astype(np.uint8).tobytes()
    for mask, previous in _probe_masks():
        shape = mask.shape[0], mask.shape[1]
        yield form(range_decoder(data), shape, previous, _tables("skip"))


encode_cells = Operation(
    "mask encoding", _encode_cells, _native_encode_cells, _probe_encode, 0xADDA1C8C
)
decode_cells = Operation(
    "mask decoding", _decode_cells, _native_decode_cells, _probe_decode, 0x1A31F536
)
