"""Coarse-to-fine order of the cells of a grid.

First every eighth cell of every eighth row, then, halving the distance each time, the cells amid
four coded diagonal neighbours and the cells amid four coded axial ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["STAGES", "Index", "Stage", "stages"]

_TOP = 8
STAGES = 7
"""Number of stages: one for the coarsest lattice, two for every halving of its distance."""

Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Stage:
    """The cells of a stage as flat positions ``[N]``, and their coded neighbours ``[K, N]``.

    The first stage has no neighbours, others four. ``inside`` is 1 where the neighbour exists; a
    neighbour beyond a border is replaced by the one opposite, and counts as nothing when that is
    missing too. ``near`` are the four cells next to each, clamped to the grid.
    """

    cells: Index
    neighbours: Index
    inside: Index
    near: Index


@lru_cache(maxsize=8)
def stages(rows: int, columns: int) -> tuple[Stage, ...]:
    """The stages of a grid."""
    y, x = np.indices((rows, columns))
    chosen = [((y % _TOP == 0) & (x % _TOP == 0), np.zeros((0, 2), np.intp))]
    step = _TOP
    while step > 1:
        half = step // 2
        on_row, on_column = y % step == 0, x % step == 0
        off_row, off_column = y % step == half, x % step == half
        diagonal = np.array([(-half, -half), (-half, half), (half, -half), (half, half)])
        axial = np.array([(-half, 0), (half, 0), (0, -half), (0, half)])
        chosen.append((off_row & off_column, diagonal))
        chosen.append(((on_row & off_column) | (off_row & on_column), axial))
        step = half
    return tuple(_stage(select, offsets) for select, offsets in chosen)


def _stage(select: NDArray[np.bool_], offsets: Index) -> Stage:
    rows, columns = select.shape
    y, x = np.nonzero(select)
    far_y, in_y = _reflect(y, offsets[:, :1], rows)
    far_x, in_x = _reflect(x, offsets[:, 1:], columns)
    near = [
        np.clip(y + dy, 0, rows - 1) * columns + np.clip(x + dx, 0, columns - 1)
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1))
    ]
    return Stage(
        y * columns + x, far_y * columns + far_x, (in_y & in_x).astype(np.intp), np.stack(near)
    )


def _reflect(place: Index, offset: Index, size: int) -> tuple[Index, NDArray[np.bool_]]:
    there = place + offset
    there = np.where((there < 0) | (there >= size), place - offset, there)
    inside = (there >= 0) & (there < size)
    return np.where(inside, there, 0), inside
