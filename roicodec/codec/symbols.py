"""Latents and hyper-latents to bytes and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.codec.core import Distribution
from roicodec.entropy import Ints, SymbolDecoder, SymbolEncoder, Tables

__all__ = ["LatentChooser", "LatentReader", "LatentWriter", "decode_hyper", "encode_hyper"]

_QUALITIES_PER_TABLE = 8


def _hyper_tables(shape: tuple[int, int], quality: int) -> Ints:
    """Table of every hyper-latent: one for each channel and band of 8 qualities."""
    band = quality // _QUALITIES_PER_TABLE
    channel = np.arange(shape[1], dtype=np.int32) + band * shape[1]
    return np.broadcast_to(channel, shape).ravel()


def encode_hyper(values: Ints, quality: int, tables: Tables) -> bytes:
    """Code hyper-latents, int32 ``[positions, channels]``."""
    encoder = SymbolEncoder()
    encoder.put(tables, values, _hyper_tables((values.shape[0], values.shape[1]), quality))
    return encoder.finish()


def decode_hyper(data: bytes, shape: tuple[int, int], quality: int, tables: Tables) -> Ints:
    """Read hyper-latents of a shape (positions, channels)."""
    return SymbolDecoder(data).get(tables, _hyper_tables(shape, quality)).reshape(shape)


class LatentChooser:
    """Chooses symbols by rate and distortion.

    The symbol that minimizes ``(r - k)**2 + price * bits(k)`` is taken among the nearest integer
    to the residual r (in quantizer steps), the next towards zero, and zero.

    Args:
        tables: of the latents.
        price: squared steps that a bit is worth; 0 rounds.
    """

    def __init__(self, tables: Tables, price: float) -> None:
        self._tables = tables
        self._bits = tables.cost()
        self._price = price
        self.coded: list[tuple[Ints, Ints]] = []
        """Table numbers and symbols of each step so far."""
        self.target: NDArray[np.float32] = np.empty(0, np.float32)
        """Latents before quantization, flattened ``[(H/8) (W/8) 96]``, in latent integers."""
        self._pairs: list[NDArray[np.int64]] = []

    def __call__(self, model: Distribution) -> Ints:
        step = model.steps * np.float32(1 / 16)
        residual = (self.target[model.pairs] - model.mean) / step
        symbols = self._quantized(residual, model.index)
        self.coded.append((model.index, symbols))
        self._pairs.append(model.pairs)
        return symbols

    def bits(self, channels: int) -> NDArray[np.float64]:
        """Bits of the symbols at each position, ``[(H/8) (W/8)]``; of escapes, the table's."""
        index, symbols = (np.concatenate(c) for c in zip(*self.coded, strict=True))
        column = np.minimum(abs(symbols), self._tables.high + 1) * np.sign(symbols)
        column = np.where(column < self._tables.low, self._tables.high + 1, column)
        bits = self._bits[index, column - self._tables.low]
        bits[index == 0] = 0
        return np.bincount(np.concatenate(self._pairs) // channels, bits).astype(np.float64)

    def _quantized(self, residual: NDArray[np.float32], index: Ints) -> Ints:
        nearest = np.rint(residual).astype(np.int32)
        nearest[index == 0] = 0
        if not self._price:
            return nearest
        maybe = np.flatnonzero(nearest)
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

    def __init__(self, tables: Tables, price: float) -> None:
        super().__init__(tables, price)
        self.encoder = SymbolEncoder()

    def __call__(self, model: Distribution) -> Ints:
        symbols = super().__call__(model)
        some = np.flatnonzero(model.index)
        self.encoder.put(self._tables, symbols[some], model.index[some])
        return symbols


class LatentReader:
    """Reads the symbols that :class:`LatentWriter` wrote."""

    def __init__(self, data: bytes, tables: Tables) -> None:
        self._decoder = SymbolDecoder(data)
        self._tables = tables

    def __call__(self, model: Distribution) -> Ints:
        symbols = np.zeros(len(model.index), np.int32)
        some = np.flatnonzero(model.index)
        symbols[some] = self._decoder.get(self._tables, model.index[some])
        return symbols
