"""Syntax of latents and hyper-latents: one run of the range coder a frame."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import HYPER_CONTEXTS
from roicodec.bitstream.entropy import Ints, SymbolDecoder, SymbolEncoder, Tables
from roicodec.decoder.frame import Distribution

__all__ = [
    "LatentReader",
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
    flat = values.reshape(-1, values.shape[2])
    for places, index in hyper_tables(values):
        encoder.put(tables, flat[places].ravel(), index.ravel())


def get_hyper(decoder: SymbolDecoder, shape: tuple[int, int, int], tables: Tables) -> Ints:
    """Hyper-latents read from a run, int32 of a shape (rows, columns, channels)."""
    values = np.zeros(shape, np.int32)
    flat = values.reshape(-1, shape[2])
    for places, index in hyper_tables(values):
        flat[places] = decoder.get(tables, index.ravel()).reshape(index.shape)
    return values


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


class LatentReader:
    """Reader of the latents' symbols, step by step.

    Args:
        decoder: the run, past the hyper-latents.
        tables: of the latents.
    """

    def __init__(self, decoder: SymbolDecoder, tables: Tables) -> None:
        self._decoder = decoder
        self._tables = tables

    def __call__(self, model: Distribution) -> Ints:
        symbols = np.zeros(len(model.index), np.int32)
        some = np.flatnonzero(model.index != 0)
        symbols[some] = self._decoder.get(self._tables, model.index[some])
        return symbols
