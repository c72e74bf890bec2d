"""Estimated bits of vectors, in integers, for the search."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import Ints
from roicodec.bitstream.motion_grid import CROSS, Stage, neighbours
from roicodec.bitstream.motion_trees import Contexts
from roicodec.bitstream.motion_vectors import CANDIDATES, Vectors, choice_symbol, same
from roicodec.bitstream.motion_walk import Previous, base_features
from roicodec.encoder.motion.match import BIT

__all__ = ["UnitCosts", "base_costs", "difference_bits", "lengths"]

_DIFFERENCE = 3379
"""Bits of a difference of nothing."""


@cache
def lengths() -> Ints:
    """Bits that the absolute value of a component adds to a difference, int32 ``[8192]``."""
    return np.rint(1.5 * BIT * np.log2(1 + np.arange(8192))).astype(np.int32)


def difference_bits(difference: Vectors) -> Ints:
    """Estimated bits of differences ``[..., 2]`` from a prediction, ``[...]``."""
    magnitude = np.abs(difference)
    out: Ints = _DIFFERENCE + lengths()[magnitude[..., 0]] + lengths()[magnitude[..., 1]]
    return out


@lru_cache(maxsize=4)
def base_costs(contexts: Contexts) -> Ints:
    """Bits of every choice of a base in every leaf, int32 ``[leaves, 5]``."""
    return np.rint(BIT * contexts.cost("base")).astype(np.int32)


class UnitCosts:
    """Bits of any base vector of some units, as if their four nearest neighbours were known.

    Half of the units are coded so; for the others it is an estimate. All bits count in
    :data:`~roicodec.encoder.motion.match.BIT`.

    Attributes:
        near: the neighbours' bases, up, left, right, down, ``[N, 4, 2]``; zero outside.
        median: what a difference is taken from, ``[N, 2]``.
    """

    def __init__(
        self,
        at: NDArray[np.int64],
        base: Vectors,
        isnew: Ints,
        before: Previous,
        contexts: Contexts,
    ) -> None:
        row, column = np.divmod(at, before.grid[1])
        near, known = neighbours(row, column, before.grid, CROSS)
        stage = Stage(at, near, known, level=0)
        features, self._ranked, self._number, self.median, _ = base_features(
            stage, base, isnew, before
        )
        self._cost = base_costs(contexts)[contexts.trees["base"].leaf(features)]
        self.near = np.where(known[..., None], base[near], 0)

    def choice(self, vectors: Vectors) -> Ints:
        """Symbol of each vector, ``[N, 2] -> [N]``; CANDIDATES for a difference."""
        return choice_symbol(vectors, self._ranked, self._number)

    def bits(self, vectors: Vectors) -> Ints:
        """Bits of K vectors for each unit, ``[N, K, 2] -> [N, K]``."""
        out: Ints = self._cost[:, CANDIDATES:] + difference_bits(vectors - self.median[:, None])
        for column in range(CANDIDATES - 1, -1, -1):
            offered = column < np.maximum(self._number, 1)
            equal = same(vectors, self._ranked[:, column, None]) & offered[:, None]
            out = np.where(equal, self._cost[:, column, None], out)
        return out
