"""The order of the symbols of a motion field, the same for writing, reading and measuring.

Specified in ``docs/format.md``, section "Motion".
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import Ints
from roicodec.bitstream.motion_grid import CROSS, Stage, neighbours, stages
from roicodec.bitstream.motion_vectors import (
    CANDIDATES,
    MAGNITUDES,
    Vectors,
    bases,
    bit_length,
    choice_symbol,
    chosen_vectors,
    clip_vectors,
    fields,
    magnitude_class,
    magnitude_of,
    magnitude_width,
    median_and_spread,
    rank_candidates,
    same,
    units,
    vector_distance,
)

__all__ = [
    "CODED",
    "EXPECTED",
    "FREE",
    "SYMBOLS",
    "Previous",
    "SymbolCoder",
    "base_features",
    "walk",
]

SYMBOLS = {
    "base": CANDIDATES + 1,
    "base_x": MAGNITUDES,
    "base_y": MAGNITUDES,
    "base_sign": 2,
    "split": 2,
    "block": CANDIDATES + 1,
    "block_x": MAGNITUDES,
    "block_y": MAGNITUDES,
    "block_sign": 2,
}
"""Alphabet size of every kind of symbol."""

CODED, FREE, EXPECTED = range(3)
"""What is known of a unit's vectors: nothing; that they are not used, so that they are the
likeliest ones; that they are those expected."""

_BASE_WEIGHTS = (4, 4, 4, 4, 3)
_BLOCK_WEIGHTS = (5, 4, 4, 3, 3, 3, 3)


class SymbolCoder(Protocol):
    """Destination or source of symbols; ``values`` is None when decoding."""

    def symbols(self, name: str, features: Ints, values: Ints | None) -> Ints:
        """Code ``[N]`` symbols, each in the context of its row of ``features`` ``[N, F]``."""

    def uniform(self, widths: Ints, values: Ints | None) -> Ints:
        """Code ``[N]`` numbers of ``widths`` equiprobable bits each."""


class Previous:
    """Bases, split flags and blocks of the previous frame; zeros where it has none."""

    def __init__(self, vectors: NDArray[np.int16] | None, shape: tuple[int, int]) -> None:
        self.known = vectors is not None
        self.grid = (shape[0] // 2, shape[1] // 2)
        field = np.zeros((*shape, 2), np.int32) if vectors is None else vectors.astype(np.int32)
        self.blocks = units(field)
        self.base = bases(self.blocks)
        self.split = (self.blocks != self.base[:, None]).any((1, 2)).astype(np.int32)
        row, column = np.divmod(np.arange(len(self.base)), self.grid[1])
        near, inside = neighbours(row, column, self.grid, CROSS)
        calm = same(self.base[near], self.base[:, None]) | ~inside
        self.calm = calm.sum(1).astype(np.int32)


def _difference(
    coder: SymbolCoder,
    kind: str,
    features: Ints,
    spread: Vectors,
    hints: Vectors,
    target: Vectors | None,
) -> Vectors:
    """Code differences ``[N, 2]``: class of x, low bits, sign; then y the same, knowing x's class.

    ``hints`` ``[N, J, 2]`` are differences that would not surprise.
    """
    out = np.empty((len(features), 2), np.int32)
    other = np.zeros(len(features), np.int32)
    for axis, name in enumerate((f"{kind}_x", f"{kind}_y")):
        hint = hints[..., axis]
        ranges = bit_length(spread[:, axis]), bit_length(spread[:, 1 - axis])
        context = np.column_stack([features, *ranges, other, bit_length(np.abs(hint))])
        number, extra, negative = None, None, None
        if target is not None:
            number, _, extra = magnitude_class(np.abs(target[:, axis]))
            negative = (target[:, axis] < 0).astype(np.int32)
        number = coder.symbols(name, context, number)
        magnitude = magnitude_of(number, coder.uniform(magnitude_width(number), extra))
        some = np.flatnonzero(number)
        if len(some):
            context = np.column_stack([number[:, None], np.clip(hint, -8, 8) + 8])[some]
            negative = None if negative is None else negative[some]
            sign = coder.symbols(f"{kind}_sign", context, negative)
            magnitude[some] = np.where(sign == 1, -magnitude[some], magnitude[some])
        out[:, axis] = magnitude
        other = number
    return out


def base_features(
    stage: Stage,
    base: Vectors,
    isnew: Ints,
    previous: Previous,
) -> tuple[Ints, Vectors, Ints, Vectors, Vectors]:
    """Features of the choice, ranked candidates, their number, median and spread, of a stage."""
    n = len(stage.units)
    last = previous.base[stage.units]
    offered = np.concatenate([base[stage.near], last[:, None]], 1)
    valid = np.concatenate([stage.known, np.full((n, 1), previous.known)], 1)
    ranked, weight, number = rank_candidates(offered, valid, _BASE_WEIGHTS)
    median, spread = median_and_spread(offered[:, :4], stage.known)
    known = stage.known.sum(1)
    median = np.where((known == 0)[:, None], last, median)
    features = np.column_stack(
        [
            np.full(n, stage.level, np.int32),
            known,
            number,
            weight[:, 0],
            weight[:, 1],
            weight[:, 2],
            vector_distance(ranked[:, 0], ranked[:, 1]) * (number > 1),
            bit_length(spread.max(1)),
            (isnew[stage.near] * stage.known).sum(1),
            np.where(previous.known, vector_distance(last, ranked[:, 0]), 9),
            np.where(previous.known, previous.calm[stage.units], 5),
            np.where(previous.known, previous.split[stage.units], 2),
            bit_length(np.abs(ranked[:, 0]).sum(1)),
            vector_distance(median, ranked[:, 0]),
        ]
    ).astype(np.int32)
    return features, ranked, number, median, spread


def walk(
    shape: tuple[int, int],
    previous: NDArray[np.int16] | None,
    coder: SymbolCoder,
    vectors: NDArray[np.int16] | None,
    needs: NDArray[np.uint8] | None = None,
) -> Vectors:
    """Code a field.

    Args:
        shape: rows and columns of the field, both even.
        previous: the field that is expected, int16 ``[*shape, 2]``; None for none.
        coder: writes or reads the symbols.
        vectors: the field, to be written; None to read it.
        needs: ``CODED``, ``FREE`` or ``EXPECTED`` of each unit, ``[rows / 2, columns / 2]``; None
            for all coded.

    Returns:
        The field, int32 ``[*shape, 2]``.
    """
    rows, columns = shape[0] // 2, shape[1] // 2
    before = Previous(previous, shape)
    need = np.full(rows * columns, CODED, np.uint8) if needs is None else needs.ravel()
    truth = None if vectors is None else units(vectors.astype(np.int32))
    true_base = None if truth is None else bases(truth)
    base = np.zeros((rows * columns, 2), np.int32)
    isnew = np.zeros(rows * columns, np.int32)
    for whole in stages(rows, columns):
        needed = need[whole.units]
        free = whole.units[needed == EXPECTED]
        base[free] = before.base[free]
        if (needed == FREE).any():
            part = whole.part(needed == FREE)
            base[part.units] = base_features(part, base, isnew, before)[1][:, 0]
        if not (needed == CODED).any():
            continue
        stage = whole if needs is None else whole.part(needed == CODED)
        target = None if true_base is None else true_base[stage.units]
        features, ranked, number, median, spread = base_features(stage, base, isnew, before)
        choice = None if target is None else choice_symbol(target, ranked, number)
        choice = coder.symbols("base", features, choice)
        value = chosen_vectors(ranked, choice)
        new = np.flatnonzero(choice == CANDIDATES)
        if len(new):
            delta = None if target is None else target[new] - median[new]
            hints = np.concatenate([ranked[new, :3], before.base[stage.units[new], None]], 1)
            hints = hints - median[new, None]
            delta = _difference(coder, "base", features[new], spread[new], hints, delta)
            value[new] = clip_vectors(median[new] + delta)
        base[stage.units] = value
        isnew[stage.units] = choice == CANDIDATES
    split = _walk_split(rows, columns, base, isnew, before, coder, truth, need)
    blocks = np.repeat(base[:, None], 4, 1)
    blocks[need == EXPECTED] = before.blocks[need == EXPECTED]
    if len(split):
        _walk_blocks(rows, columns, split, base, blocks, before, coder, truth)
    return fields(blocks, shape)


def _walk_split(
    rows: int,
    columns: int,
    base: Vectors,
    isnew: Ints,
    before: Previous,
    coder: SymbolCoder,
    truth: Vectors | None,
    need: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """Code which units are split, on the two colours of a chessboard; their numbers, ascending."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    split = np.zeros(rows * columns, np.int32)
    for colour in range(2):
        units = np.flatnonzero(((row + column) % 2 == colour) & (need == CODED))
        if not len(units):
            continue
        near, inside = neighbours(row[units], column[units], (rows, columns), CROSS)
        distance = vector_distance(base[near], base[units][:, None]) * inside
        last = before.base[units]
        features = np.column_stack(
            [
                ((distance > 0) & inside).sum(1),
                distance.max(1),
                np.sort(distance, 1)[:, 2],
                isnew[units],
                (isnew[near] * inside).sum(1),
                np.where(before.known, before.split[units], 2),
                (before.split[near] * inside).sum(1),
                np.where(before.known, before.calm[units], 5),
                np.where(before.known, vector_distance(last, base[units]), 9),
                np.full(len(units), colour),
                (split[near] * inside).sum(1),
                bit_length(np.abs(base[units]).sum(1)),
            ]
        ).astype(np.int32)
        value = None
        if truth is not None:
            value = (truth[units] != base[units][:, None]).any((1, 2)).astype(np.int32)
        split[units] = coder.symbols("split", features, value)
    return np.flatnonzero(split)


def _walk_blocks(
    rows: int,
    columns: int,
    units: NDArray[np.int64],
    base: Vectors,
    blocks: Vectors,
    before: Previous,
    coder: SymbolCoder,
    truth: Vectors | None,
) -> None:
    """Code the four vectors of every split unit into ``blocks`` ``[R * C, 4, 2]``."""
    row, column = np.divmod(units, columns)
    n = len(units)
    own = base[units]
    coded = np.zeros((n, 4, 2), np.int32)
    for k in range(4):
        side = np.array(((0, 1 if k % 2 else -1), (1 if k // 2 else -1, 0)))
        near, inside = neighbours(row, column, (rows, columns), side)
        last = before.blocks[units, k]
        offered = np.concatenate([own[:, None], base[near], coded[:, :k], last[:, None]], 1)
        valid = np.concatenate(
            [np.ones((n, 1), bool), inside, np.ones((n, k), bool), np.full((n, 1), before.known)], 1
        )
        ranked, weight, number = rank_candidates(offered, valid, _BLOCK_WEIGHTS[: k + 4])
        features = np.column_stack(
            [
                np.full(n, k),
                number,
                weight[:, 0],
                weight[:, 1],
                vector_distance(ranked[:, 0], ranked[:, 1]) * (number > 1),
                same(coded[:, :k], own[:, None]).sum(1),
                choice_symbol(own, ranked, number),
                vector_distance(base[near[:, 0]], own) * inside[:, 0],
                vector_distance(base[near[:, 1]], own) * inside[:, 1],
                np.where(before.known, vector_distance(last, own), 9),
                np.where(before.known, before.split[units], 2),
            ]
        ).astype(np.int32)
        target = None if truth is None else truth[units, k]
        choice = None if target is None else choice_symbol(target, ranked, number)
        choice = coder.symbols("block", features, choice)
        coded[:, k] = chosen_vectors(ranked, choice)
        new = np.flatnonzero(choice == CANDIDATES)
        if len(new):
            _, spread = median_and_spread(offered[new, :3], valid[new, :3])
            delta = None if target is None else target[new] - own[new]
            beside = np.where(inside[..., None], base[near], own[:, None])
            hints = np.concatenate([beside, last[:, None]], 1)[new] - own[new, None]
            delta = _difference(coder, "block", features[new], spread, hints, delta)
            coded[new, k] = clip_vectors(own[new] + delta)
    blocks[units] = coded
