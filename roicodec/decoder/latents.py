"""Latents and hyper-latents to bytes and back, in one run of the range coder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import HYPER_CONTEXTS
from roicodec.bitstream.entropy import Ints, SymbolDecoder, SymbolEncoder, Tables
from roicodec.decoder.frame import Distribution

__all__ = [
    "LatentChooser",
    "LatentReader",
    "LatentWriter",
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
    """Step by step, the positions coded and the table of every hyper-latent there.

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
    """Code hyper-latents, int32 ``[rows, columns, C]``."""
    flat = values.reshape(-1, values.shape[2])
    for places, index in hyper_tables(values):
        encoder.put(tables, flat[places].ravel(), index.ravel())


def get_hyper(decoder: SymbolDecoder, shape: tuple[int, int, int], tables: Tables) -> Ints:
    """Read hyper-latents of a shape (rows, columns, channels)."""
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


class LatentChooser:
    """Chooses symbols by rate and distortion.

    The symbol that minimizes ``(r - k)**2 + price * bits(k)`` is taken among the nearest integer
    to the residual r (in quantizer steps), the next towards zero, and zero.

    Args:
        tables: of the latents.
        target: latents before quantization, flattened ``[(H/8) (W/8) 96]``, in latent integers.
        price: squared steps that a bit is worth; 0 rounds.
    """

    def __init__(self, tables: Tables, target: NDArray[np.float32], price: float) -> None:
        self._tables = tables
        self.target = target
        self._bits = tables.cost()
        self._price = price
        self.coded: list[tuple[Distribution, Ints]] = []
        """Models and symbols of each step so far."""

    def __call__(self, model: Distribution) -> Ints:
        step = model.steps * np.float32(1 / 16)
        residual = (self.target[model.pairs] - model.mean) / step
        symbols = self._quantized(residual, model.index)
        self.coded.append((model, symbols))
        return symbols

    def bits(self, channels: int) -> NDArray[np.float64]:
        """Bits of the symbols at each position, ``[(H/8) (W/8)]``; of escapes, the table's."""
        index = np.concatenate([model.index for model, _ in self.coded])
        pairs = np.concatenate([model.pairs for model, _ in self.coded])
        symbols = np.concatenate([s for _, s in self.coded])
        column = np.minimum(abs(symbols), self._tables.high + 1) * np.sign(symbols)
        column = np.where(column < self._tables.low, self._tables.high + 1, column)
        bits = self._bits[index, column - self._tables.low]
        bits[index == 0] = 0
        positions = len(self.target) // channels
        return np.bincount(pairs // channels, bits, positions).astype(np.float64)

    def _quantized(self, residual: NDArray[np.float32], index: Ints) -> Ints:
        nearest = np.rint(residual).astype(np.int32)
        nearest[index == 0] = 0
        if not self._price:
            return nearest
        maybe = np.flatnonzero(nearest != 0)
        k, r = nearest[maybe], residual[maybe]
        options = np.stack((k, k - np.sign(k), np.zeros_like(k)))
        column = np.clip(options, self._tables.low, self._tables.high) - self._tables.low
        j = (r - options) ** 2 + self._price * self._bits[index[maybe], column]
        best = options[j.argmin(0), np.arange(len(k))]
        # Beyond the alphabet nothing is known of the cost of one step less.
        nearest[maybe] = np.where(abs(k) >= self._tables.high, k, best)
        return nearest


class LatentWriter(LatentChooser):
    """Chooses symbols and codes them."""

    def __init__(self, tables: Tables, target: NDArray[np.float32], price: float) -> None:
        super().__init__(tables, target, price)
        self.encoder = SymbolEncoder()

    def __call__(self, model: Distribution) -> Ints:
        symbols = super().__call__(model)
        some = np.flatnonzero(model.index != 0)
        self.encoder.put(self._tables, symbols[some], model.index[some])
        return symbols


class LatentReader:
    """Reads the symbols that :class:`LatentWriter` wrote.

    Args:
        decoder: the run, behind the hyper-latents.
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
