"""Prediction modes of a bidirectional frame's cells. Specified in ``docs/format.md``, "Motion".

Coarse to fine, in the stages of the vectors (:mod:`roicodec.bitstream.motion_grid`): each mode in a
context of its level and of the modes of the known neighbours.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream import mode_tables
from roicodec.bitstream.entropy import Ints, SymbolDecoder, SymbolEncoder, Tables
from roicodec.bitstream.motion_grid import Stage, stages

__all__ = ["CONTEXTS", "MODES", "Modes", "contexts", "get_modes", "put_modes"]

Modes = NDArray[np.uint8]

MODES = 4
"""Number of prediction modes."""

_NEIGHBOURHOODS = 35
"""Ways in which at most four neighbours can have four modes, by their numbers: of 0, 1, 2, 3 or 4
neighbours 1, 4, 10, 20 and 35; those of fewer than four are told apart by their commonest mode."""

CONTEXTS = 3 * _NEIGHBOURHOODS
"""Contexts: the numbers of neighbours in each mode, at coarse, middle and fine levels."""


@cache
def _neighbourhoods() -> NDArray[np.int64]:
    """Number of each way, by 5^3 a + 5^2 b + 5 c + d of the modes' numbers, whose sum is 4."""
    ways = [
        (a, b, c, 4 - a - b - c)
        for a in range(5) for b in range(5 - a) for c in range(5 - a - b)
    ]  # fmt: skip
    out = np.zeros(625, np.int64)
    for number, (a, b, c, d) in enumerate(ways):
        out[125 * a + 25 * b + 5 * c + d] = number
    return out


def contexts(stage: Stage, modes: Modes) -> Ints:
    """Context of each unit of a stage, int32 ``[N]``.

    Args:
        stage: of the grid of the cells.
        modes: of all cells, ``[R C]``; those of earlier stages are looked at.
    """
    near = modes[stage.near]
    counts = np.stack([((near == m) & stage.known).sum(1) for m in range(MODES)], 1)
    missing = 4 - counts.sum(1)
    # Neighbours that there are not are like the commonest ones.
    commonest = counts.argmax(1)
    counts[np.arange(len(counts)), commonest] += missing
    way = _neighbourhoods()[counts @ np.array((125, 25, 5, 1))]
    level = 2 if stage.level <= 1 else 1 if stage.level <= 3 else 0
    return np.asarray(level * _NEIGHBOURHOODS + way, np.int32)


@cache
def _tables() -> Tables:
    return Tables(mode_tables.FREQUENCIES)


def put_modes(encoder: SymbolEncoder, modes: Modes) -> None:
    """Code the modes of all cells, ``[R, C]`` of the grid that is extended to whole vectors."""
    flat = modes.ravel()
    for stage in stages(*modes.shape):
        encoder.put(_tables(), flat[stage.units].astype(np.int32), contexts(stage, flat))


def get_modes(decoder: SymbolDecoder, shape: tuple[int, int]) -> Modes:
    """Modes that :func:`put_modes` wrote.

    Raises:
        StreamError: if it cannot be read. Damaged data may also give wrong modes.
    """
    flat = np.zeros(shape[0] * shape[1], np.uint8)
    for stage in stages(*shape):
        flat[stage.units] = decoder.get(_tables(), contexts(stage, flat))
    return flat.reshape(shape)
