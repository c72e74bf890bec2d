"""Rate-distortion optimized quantization (RDOQ) of the latents.

Each symbol is the integer k that minimizes ``(r - k)**2 + lambda * bits(k)`` for a residual r in
quantizer steps, among the nearest to r, the next towards zero, and zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import Ints, SymbolEncoder, Tables
from roicodec.decoder.coding_step import Distribution
from roicodec.kernels.latents import add_bits, choose_symbols

__all__ = ["LatentWriter", "RdoQuantizer"]


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

    def __init__(self, tables: Tables, target: NDArray[np.float32], lambda_: float) -> None:
        self._tables = tables
        self.target = target
        self._bits = tables.cost()
        self._lambda = lambda_
        self.coded: list[tuple[Distribution, Ints]] = []

    def __call__(self, model: Distribution) -> Ints:
        ends = self._tables.low, self._tables.high
        symbols = choose_symbols(
            self.target, model.mean, model.latents, self._bits, *ends, self._lambda
        )
        self.coded.append((model, symbols))
        return symbols

    def bits(self, channels: int) -> NDArray[np.float64]:
        """Bits of the symbols at each position, ``[(H/8) (W/8)]``; an escape counts as its table's
        symbol alone."""
        rows, ends = np.zeros(len(self.target) // channels), (self._tables.low, self._tables.high)
        for model, symbols in self.coded:
            add_bits(symbols, model.latents, channels, self._bits, *ends, rows)
        return rows


class LatentWriter(RdoQuantizer):
    """Chooser of symbols that also codes them.

    Attributes:
        encoder: the run that they are coded into.
    """

    def __init__(self, tables: Tables, target: NDArray[np.float32], lambda_: float) -> None:
        super().__init__(tables, target, lambda_)
        self.encoder = SymbolEncoder()

    def __call__(self, model: Distribution) -> Ints:
        symbols = super().__call__(model)
        self.encoder.put(self._tables, symbols, model.latents.tables)
        return symbols
