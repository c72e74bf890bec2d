"""Bits of motion fields."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import Ints
from roicodec.bitstream.motion_coding import checked
from roicodec.bitstream.motion_trees import Contexts, shipped_contexts
from roicodec.bitstream.motion_walk import walk

__all__ = [
    "Recorder",
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
