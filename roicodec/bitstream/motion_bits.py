"""Bits of motion fields: exact for a whole field, estimated for the search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import Ints
from roicodec.bitstream.motion_coding import checked
from roicodec.bitstream.motion_grid import CROSS, Stage, neighbours
from roicodec.bitstream.motion_trees import Contexts, shipped_contexts
from roicodec.bitstream.motion_vectors import CANDIDATES, Vectors, choice_symbol, same
from roicodec.bitstream.motion_walk import Previous, base_features, walk

__all__ = [
    "Recorder",
    "UnitCosts",
    "difference_bits",
    "motion_bits",
    "record_motion",
]


class Recorder:
    """Record of the symbols of a field, for their bits and for fitting tables.

    Attributes:
        calls: in order, each (name, features, values), or ("", widths, values) for plain bits.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Ints, Ints]] = []

    def symbols(self, name: str, features: Ints, values: Ints | None) -> Ints:
        assert values is not None
        self.calls.append((name, features, values))
        return values

    def uniform(self, widths: Ints, values: Ints | None) -> Ints:
        assert values is not None
        self.calls.append(("", widths, values))
        return values

    def bits(self, contexts: Contexts) -> float:
        """Bits of all symbols."""
        total = 0.0
        for name, features, values in self.calls:
            if name:
                leaf = contexts.trees[name].leaf(features)
                total += float(contexts.cost(name)[leaf, values].sum())
            else:
                total += int(features.sum())
        return total


def difference_bits(difference: Vectors) -> NDArray[np.float32]:
    """Estimated bits of differences ``[..., 2]`` from a prediction, ``[...]``."""
    magnitude = np.abs(difference).astype(np.float32)
    product = (1 + magnitude[..., 0]) * (1 + magnitude[..., 1])
    bits: NDArray[np.float32] = np.float32(3.3) + np.float32(1.5) * np.log2(product)
    return bits


class UnitCosts:
    """Bits of any base vector of some units, as if their four nearest neighbours were known.

    Half of the units are coded so; for the others it is an estimate.

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
        self._cost = contexts.cost("base")[contexts.trees["base"].leaf(features)]
        self.near = np.where(known[..., None], base[near], 0)

    def choice(self, vectors: Vectors) -> Ints:
        """Symbol of each vector, ``[N, 2] -> [N]``; CANDIDATES for a difference."""
        return choice_symbol(vectors, self._ranked, self._number)

    def bits(self, vectors: Vectors) -> NDArray[np.float64]:
        """Bits of K vectors for each unit, ``[N, K, 2] -> [N, K]``."""
        out: NDArray[np.float64] = self._cost[:, CANDIDATES:] + difference_bits(
            vectors - self.median[:, None]
        )
        for column in range(CANDIDATES - 1, -1, -1):
            offered = column < np.maximum(self._number, 1)
            equal = same(vectors, self._ranked[:, column, None]) & offered[:, None]
            out = np.where(equal, self._cost[:, column, None], out)
        return out


def record_motion(vectors: NDArray[np.int16], previous: NDArray[np.int16] | None) -> Recorder:
    """The symbols that code a field. Arguments as for :func:`put_motion`."""
    recorder = Recorder()
    walk(vectors.shape[:2], previous, recorder, checked(vectors))
    return recorder


def motion_bits(
    vectors: NDArray[np.int16],
    previous: NDArray[np.int16] | None,
    contexts: Contexts | None = None,
) -> float:
    """Bits of a motion section without its maps and the rounding to bytes."""
    if not vectors.any():
        return 0.0
    return record_motion(vectors, previous).bits(contexts or shipped_contexts())
