"""Syntax of latents and hyper-latents: one run of the range coder a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import HYPER_CONTEXTS
from roicodec.bitstream.entropy import PRECISION, Ints, SymbolDecoder, SymbolEncoder, Tables
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
    "decode_squares",
    "encode_squares",
    "get_hyper",
    "hyper_tables",
    "put_hyper",
]

_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_CROSS = ((-1, 0), (0, -1), (0, 1), (1, 0))
_LEVELS = np.array((1, 5, 11))
"""Eighths of the neighbours' mean magnitude where the next context begins, above each."""

Places = NDArray[np.int64]


def hyper_tables(values: Ints) -> Iterator[tuple[Places, Ints]]:
    """Positions and tables of the hyper-latents, step by step.

    One for each channel and context: first even rows and columns, without context; then the
    middles of their squares, in the context of four diagonal neighbours; then the rest, in that of
    the four beside them. ``values`` need only hold what the steps before have coded.

    Args:
        values: int32 ``[rows, columns, C]``.

    Yields:
        flat positions ``[N]``, and table numbers ``[N, C]``.
    """
    rows, columns, channels = values.shape
    own = np.arange(channels, dtype=np.int32) * HYPER_CONTEXTS
    flat = values.reshape(-1, channels)
    for places, near, inside in _hyper_steps(rows, columns):
        if not near.shape[1]:
            yield places, np.broadcast_to(own, (len(places), channels))
            continue
        total = (flat[near] * inside[..., None]).sum(1)
        mean = 8 * np.abs(total)[..., None] > inside.sum(1)[:, None, None] * _LEVELS
        context = 1 + len(_LEVELS) + np.sign(total) * mean.sum(-1)
        yield places, (own + context).astype(np.int32)


def put_hyper(encoder: SymbolEncoder, values: Ints, tables: Tables) -> None:
    """Encoding of hyper-latents, int32 ``[rows, columns, C]``."""
    encode_squares(encoder.coder, values, tables)


def get_hyper(decoder: SymbolDecoder, shape: tuple[int, int, int], tables: Tables) -> Ints:
    """Hyper-latents read from a run, int32 of a shape (rows, columns, channels)."""
    return decode_squares(decoder.coder, shape, tables)


# --- both forms ---------------------------------------------------------------------------------


def _encode_squares(encoder: RangeEncoder, values: Ints, tables: Tables) -> None:
    flat = values.reshape(-1, values.shape[2])
    for places, index in hyper_tables(values):
        encoder.put(tables, flat[places].ravel(), index.ravel())


def _decode_squares(decoder: RangeDecoder, shape: tuple[int, int, int], tables: Tables) -> Ints:
    values = np.zeros(shape, np.int32)
    flat = values.reshape(-1, shape[2])
    for places, index in hyper_tables(values):
        flat[places] = decoder.get(tables, index.ravel()).reshape(index.shape)
    return values


def _native_encode_squares(encoder: RangeEncoder, values: Ints, tables: Tables) -> None:
    if not isinstance(encoder, NativeEncoder):
        return _encode_squares(encoder, values, tables)
    _call("rq_encode_hyper", encoder.state, np.ascontiguousarray(values), tables)
    return None


def _native_decode_squares(
    decoder: RangeDecoder, shape: tuple[int, int, int], tables: Tables
) -> Ints:
    if not isinstance(decoder, NativeDecoder):
        return _decode_squares(decoder, shape, tables)
    values = np.empty(shape, np.int32)
    _call("rq_decode_hyper", decoder.state, values, tables)
    return values


def _call(name: str, state: int, values: Ints, tables: Tables) -> None:
    check(
        function(name, "pplllp", "i")(
            state, address(tables.laid_out, np.int64), *values.shape, address(values, np.int32)
        )
    )


def _probe_tables() -> Tables:
    """Tables of three channels, with escapes."""
    row = 1 + np.arange(24)[:, None] * np.arange(1, 10) % 23
    row[:, 4] += (1 << PRECISION) - row.sum(1)
    return Tables(row, offset=-4, escape=True)


def _probe_encode(form: Callable[[RangeEncoder, Ints, Tables], None]) -> Arrays:
    for rows, columns in ((1, 1), (1, 6), (5, 4)):
        number = np.arange(rows * columns * 3).reshape(rows, columns, 3)
        encoder = range_encoder()
        form(encoder, (number * 13 % 11 - 5).astype(np.int32), _probe_tables())
        yield np.frombuffer(encoder.finish(), np.uint8)


def _probe_decode(form: Callable[[RangeDecoder, tuple[int, int, int], Tables], Ints]) -> Arrays:
    data = (np.arange(90) ** 3 % 251).astype(np.uint8).tobytes()
    for rows, columns in ((1, 1), (6, 1), (4, 5)):
        yield form(range_decoder(data), (rows, columns, 3), _probe_tables())


encode_squares = Operation(
    "hyper-latent encoding",
    _encode_squares,
    _native_encode_squares,
    _probe_encode,
    0xAD90EBE0,
)
decode_squares = Operation(
    "hyper-latent decoding",
    _decode_squares,
    _native_decode_squares,
    _probe_decode,
    0xDF72C29A,
)


@lru_cache(maxsize=8)
def _hyper_steps(rows: int, columns: int) -> tuple[tuple[Places, Places, NDArray[np.bool_]], ...]:
    """Positions ``[N]``, their neighbours' ``[N, K]``, and whether there is one ``[N, K]``."""
    y, x = np.indices((rows, columns))
    odd = y % 2 + x % 2
    out = []
    for chosen, offsets in (
        (odd == 0, np.zeros((0, 2), np.int64)),
        (odd == 2, np.array(_DIAGONAL)),
        (odd == 1, np.array(_CROSS)),
    ):
        r, c = np.nonzero(chosen)
        if not len(r):
            continue
        near_r, near_c = r[:, None] + offsets[:, 0], c[:, None] + offsets[:, 1]
        inside = (near_r >= 0) & (near_r < rows) & (near_c >= 0) & (near_c < columns)
        near = np.where(inside, near_r * columns + near_c, 0)
        out.append((r * columns + c, near, inside))
    return tuple(out)
