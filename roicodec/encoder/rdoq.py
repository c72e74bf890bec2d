"""Rate-distortion optimized quantization (RDOQ) of the latents.

Each symbol is the integer k that minimizes ``(r - k)**2 + lambda * bits(k)`` for a residual r in
quantizer steps, among the nearest to r, the next towards zero, and zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import Ints, SymbolEncoder, Tables
from roicodec.decoder.frame import Distribution

__all__ = ["LAMBDA", "LatentWriter", "RdoQuantizer"]

LAMBDA = 0.09
"""Lagrange multiplier: squared quantizer steps that a bit is worth; 0.08 in training."""


class RdoQuantizer:
    """Chooser of a frame's symbols, step by step.

    Args:
        tables: of the latents.
        target: latents before quantization, flattened ``[(H/8) (W/8) 96]``, in latent integers.
        lambda_: squared steps that a bit is worth; 0 rounds to the nearest.

    Attributes:
        target: as given.
        coded: models and symbols of each step so far.
    """

    def __init__(
        self, tables: Tables, target: NDArray[np.float32], lambda_: float = LAMBDA
    ) -> None:
        self._tables = tables
        self.target = target
        self._bits = tables.cost()
        self._lambda = lambda_
        self.coded: list[tuple[Distribution, Ints]] = []

    def __call__(self, model: Distribution) -> Ints:
        step = model.steps * np.float32(1 / 16)
        residual = (self.target[model.pairs] - model.mean) / step
        symbols = self._quantized(residual, model.index)
        self.coded.append((model, symbols))
        return symbols

    def bits(self, channels: int) -> NDArray[np.float64]:
        """Bits of the symbols at each position, ``[(H/8) (W/8)]``; an escape counts as its table's
        symbol alone."""
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
        if not self._lambda:
            return nearest
        maybe = np.flatnonzero(nearest != 0)
        k, r = nearest[maybe], residual[maybe]
        options = np.stack((k, k - np.sign(k), np.zeros_like(k)))
        column = np.clip(options, self._tables.low, self._tables.high) - self._tables.low
        j = (r - options) ** 2 + self._lambda * self._bits[index[maybe], column]
        best = options[j.argmin(0), np.arange(len(k))]
        # Beyond the alphabet nothing is known of the cost of one step less.
        nearest[maybe] = np.where(abs(k) >= self._tables.high, k, best)
        return nearest


class LatentWriter(RdoQuantizer):
    """Chooser of symbols that also codes them.

    Attributes:
        encoder: the run that they are coded into.
    """

    def __init__(
        self, tables: Tables, target: NDArray[np.float32], lambda_: float = LAMBDA
    ) -> None:
        super().__init__(tables, target, lambda_)
        self.encoder = SymbolEncoder()

    def __call__(self, model: Distribution) -> Ints:
        symbols = super().__call__(model)
        some = np.flatnonzero(model.index != 0)
        self.encoder.put(self._tables, symbols[some], model.index[some])
        return symbols
