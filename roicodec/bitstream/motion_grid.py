"""The order in which the units of a field are coded: from coarse to fine, each between neighbours.

Units are numbered in raster order. Stage 0 holds unit (0, 0) alone; then, with half the spacing
each time, come the centres of the squares of known units, and then the middles of the sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import Ints

__all__ = ["CROSS", "MAX_LEVEL", "Stage", "neighbours", "stages"]

MAX_LEVEL = 4

_DIAGONAL = np.array(((-1, -1), (-1, 1), (1, -1), (1, 1)))
CROSS = np.array(((-1, 0), (0, -1), (0, 1), (1, 0)))
"""Offsets (row, column) of the four units beside one."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Units that are coded together.

    Attributes:
        units: their numbers, int ``[N]``, ascending.
        near: the four known units around each, int ``[N, 4]``; 0 where there is none.
        known: whether there is one, bool ``[N, 4]``.
        level: 2 * min(log2(spacing), 4) + 1 for centres, without the 1 for middles.
    """

    units: NDArray[np.int64]
    near: NDArray[np.int64]
    known: NDArray[np.bool_]
    level: int

    def part(self, at: NDArray[np.bool_]) -> Stage:
        """Some of its units, bool ``[N]``."""
        return Stage(self.units[at], self.near[at], self.known[at], self.level)


def neighbours(
    row: NDArray[np.int64], column: NDArray[np.int64], shape: tuple[int, int], offsets: Ints
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Unit numbers at ``offsets`` ``[K, 2]`` from each unit ``[N]``, and whether they exist."""
    r = row[:, None] + offsets[:, 0]
    c = column[:, None] + offsets[:, 1]
    inside = (r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1])
    return np.where(inside, r * shape[1] + c, 0), inside


@lru_cache(maxsize=16)
def stages(rows: int, columns: int) -> tuple[Stage, ...]:
    """The stages of a field of ``rows`` x ``columns`` units, in coding order; none is empty."""
    shape = (rows, columns)
    r, c = (a.ravel() for a in np.indices(shape))
    level = max(rows - 1, columns - 1).bit_length() - 1
    first = np.zeros(1, np.int64)
    nothing = neighbours(first - 2, first, shape, CROSS)
    out = [Stage(first, *nothing, level=2 * MAX_LEVEL)]
    for step in (1 << k for k in range(level, -1, -1)):
        grid = (r % step == 0) & (c % step == 0)
        odd_r, odd_c = (r // step) % 2 == 1, (c // step) % 2 == 1
        for wanted, offsets, centre in (
            (odd_r & odd_c, _DIAGONAL, 1),
            (odd_r ^ odd_c, CROSS, 0),
        ):
            units = np.flatnonzero(grid & wanted)
            if len(units):
                near = neighbours(r[units], c[units], shape, step * offsets)
                log_step = min(step.bit_length() - 1, MAX_LEVEL)
                out.append(Stage(units, *near, level=2 * log_step + centre))
    return tuple(out)
