"""Lossless coding of a motion field. Specified in ``docs/format.md``, section "Motion".

A field of 8x8 blocks is coded as units of 2x2 blocks. Each unit has a base vector, the commonest
of its four. Bases are coded stage by stage (:mod:`roicodec.bitstream.motion_grid`): a choice among
the distinct vectors of the known neighbours and of the frame before, or a difference from the
neighbours' median. Then a flag says whether a unit is split, and split units give each block's
vector in the same way. Within a stage no symbol depends on another, so all of it is vectorised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import VECTOR_LIMIT
from roicodec.bitstream.entropy import Ints, SymbolDecoder, SymbolEncoder
from roicodec.bitstream.motion_grid import Stage, neighbours, stages
from roicodec.bitstream.motion_trees import Contexts, shipped_contexts

__all__ = [
    "CANDIDATES",
    "MAGNITUDES",
    "SYMBOLS",
    "Previous",
    "Recorder",
    "UnitCosts",
    "Vectors",
    "bases",
    "difference_bits",
    "fields",
    "get_motion",
    "motion_bits",
    "put_motion",
    "record_motion",
    "same",
    "units",
]

CANDIDATES = 4
"""Most vectors that a choice offers besides "none of these"."""

MAGNITUDES = 24
"""Classes of a difference's absolute value; :func:`_magnitude_class`."""

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

_BASE_WEIGHTS = (4, 4, 4, 4, 3)
_BLOCK_WEIGHTS = (5, 4, 4, 3, 3, 3, 3)
_CROSS = np.array(((-1, 0), (0, -1), (0, 1), (1, 0)))

Vectors = NDArray[np.int32]
Bools = NDArray[np.bool_]


class _Coder(Protocol):
    """Where symbols go to or come from. ``values`` is None when decoding."""

    def symbols(self, name: str, features: Ints, values: Ints | None) -> Ints:
        """Code ``[N]`` symbols, each in the context of its row of ``features`` ``[N, F]``."""

    def uniform(self, widths: Ints, values: Ints | None) -> Ints:
        """Code ``[N]`` numbers of ``widths`` equiprobable bits each."""


# --- differences -------------------------------------------------------------------------------


def _magnitude_class(magnitude: Ints) -> tuple[Ints, Ints, Ints]:
    """Class, number of extra bits and their value, of absolute values 0..8191.

    0..3 are classes of their own; from 4 on there are two to an octave: 4-5, 6-7, 8-11, 12-15, ...
    """
    m = magnitude.astype(np.int32)
    octave = np.frexp(np.maximum(m, 1))[1].astype(np.int32) - 1
    width = np.maximum(octave - 1, 0)
    number = np.where(m < 4, m, 2 * octave + ((m >> width) & 1))
    return number, np.where(m < 4, 0, width), m & ((1 << width) - 1)


def _magnitude_width(number: Ints) -> Ints:
    return np.where(number < 4, 0, number // 2 - 1).astype(np.int32)


def _magnitude(number: Ints, extra: Ints) -> Ints:
    width = _magnitude_width(number)
    return np.where(number < 4, number, ((2 + (number & 1)) << width) + extra).astype(np.int32)


def _distance(a: Vectors, b: Vectors) -> Ints:
    """0 for equal vectors ``[..., 2]``, else 1 + floor(log2(|dx| + |dy|)), at most 8."""
    return _size(np.abs(a[..., 0] - b[..., 0]) + np.abs(a[..., 1] - b[..., 1]))


def _size(magnitude: Ints) -> Ints:
    return np.minimum(np.frexp(magnitude)[1], 8).astype(np.int32)


# --- candidates --------------------------------------------------------------------------------


def _ranked(offered: Vectors, valid: Bools, weights: Sequence[int]) -> tuple[Vectors, Ints, Ints]:
    """The distinct vectors among those offered, by the weight that agrees on them.

    Args:
        offered: ``[N, K, 2]``; of equally weighty vectors the one offered first comes first.
        valid: ``[N, K]``.
        weights: of each of the K offers.

    Returns:
        vectors ``[N, CANDIDATES, 2]``, zero where there are fewer; their weights, 0 likewise,
        ``[N, CANDIDATES]``; the number of distinct ones ``[N]``.
    """
    count = offered.shape[1]
    packed = offered[..., 0] * 65536 + offered[..., 1]
    agree = (packed[:, :, None] == packed[:, None, :]) & valid[:, :, None] & valid[:, None, :]
    weight = agree @ np.array(weights, np.int32)
    first = valid & ~(agree & np.tri(count, k=-1, dtype=bool)).any(2)
    key = np.where(first, weight * count - np.arange(count), -count)
    order = np.argsort(-key, axis=1, kind="stable")[:, :CANDIDATES]
    kept = np.take_along_axis(first, order, 1)
    vectors = np.where(kept[..., None], np.take_along_axis(offered, order[..., None], 1), 0)
    weight = np.where(kept, np.take_along_axis(weight, order, 1), 0)
    return vectors.astype(np.int32), weight.astype(np.int32), first.sum(1).astype(np.int32)


def _median_and_spread(offered: Vectors, valid: Bools) -> tuple[Vectors, Vectors]:
    """Median (mean of the middle two, rounded down) and range of the valid ones; 0 for none."""
    number = valid.sum(1)
    masked = np.where(valid[..., None], offered, np.int32(1 << 20))
    ranked = np.sort(masked, axis=1)

    def at(position: NDArray[np.int64]) -> Vectors:
        place = np.maximum(position, 0)[:, None, None]
        return np.take_along_axis(ranked, place, 1)[:, 0]

    some = (number > 0)[:, None]
    median = np.where(some, (at((number - 1) // 2) + at(number // 2)) >> 1, 0)
    spread = np.where(some, at(number - 1) - at(number * 0), 0)
    return median.astype(np.int32), spread.astype(np.int32)


# --- the walk: one order of symbols, for encoder, decoder and measuring -------------------------


def same(a: Vectors, b: Vectors) -> Bools:
    """Whether vectors ``[..., 2]`` are equal, ``[...]``."""
    out: Bools = (a[..., 0] == b[..., 0]) & (a[..., 1] == b[..., 1])
    return out


def units(vectors: Vectors) -> Vectors:
    """Group blocks by unit, ``[H, W, 2]`` -> ``[H / 2 * W / 2, 4, 2]``, both in raster order."""
    h, w, _ = vectors.shape
    return vectors.reshape(h // 2, 2, w // 2, 2, 2).swapaxes(1, 2).reshape(-1, 4, 2)


def fields(blocks: Vectors, shape: tuple[int, int]) -> Vectors:
    """The inverse of :func:`units`; ``shape`` is [H, W]."""
    h, w = shape
    return blocks.reshape(h // 2, w // 2, 2, 2, 2).swapaxes(1, 2).reshape(h, w, 2)


def bases(blocks: Vectors) -> Vectors:
    """The commonest of four vectors, the first of equally common ones; ``[N, 4, 2] -> [N, 2]``."""
    agree = same(blocks[:, :, None], blocks[:, None]).sum(2)
    best = agree.argmax(1)
    return np.take_along_axis(blocks, best[:, None, None], 1)[:, 0]


class Previous:
    """What the frame before tells: bases, split flags and blocks, or nothing."""

    def __init__(self, vectors: NDArray[np.int16] | None, shape: tuple[int, int]) -> None:
        self.known = vectors is not None
        self.grid = (shape[0] // 2, shape[1] // 2)
        field = np.zeros((*shape, 2), np.int32) if vectors is None else vectors.astype(np.int32)
        self.blocks = units(field)
        self.base = bases(self.blocks)
        self.split = (self.blocks != self.base[:, None]).any((1, 2)).astype(np.int32)
        row, column = np.divmod(np.arange(len(self.base)), self.grid[1])
        near, inside = neighbours(row, column, self.grid, _CROSS)
        calm = same(self.base[near], self.base[:, None]) | ~inside
        self.calm = calm.sum(1).astype(np.int32)


def _difference(
    coder: _Coder,
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
        ranges = _size(spread[:, axis]), _size(spread[:, 1 - axis])
        context = np.column_stack([features, *ranges, other, _size(np.abs(hint))])
        number, extra, negative = None, None, None
        if target is not None:
            number, _, extra = _magnitude_class(np.abs(target[:, axis]))
            negative = (target[:, axis] < 0).astype(np.int32)
        number = coder.symbols(name, context, number)
        magnitude = _magnitude(number, coder.uniform(_magnitude_width(number), extra))
        some = np.flatnonzero(number)
        if len(some):
            context = np.column_stack([number[:, None], np.clip(hint, -8, 8) + 8])[some]
            negative = None if negative is None else negative[some]
            sign = coder.symbols(f"{kind}_sign", context, negative)
            magnitude[some] = np.where(sign == 1, -magnitude[some], magnitude[some])
        out[:, axis] = magnitude
        other = number
    return out


def _choice(offered: Vectors, ranked: Vectors, number: Ints) -> Ints:
    """Which of the ranked vectors ``[N, C, 2]`` each of ``offered`` ``[N, 2]`` is; C for none."""
    equal = same(ranked, offered[:, None])
    equal &= np.arange(CANDIDATES) < np.maximum(number, 1)[:, None]
    return np.where(equal.any(1), equal.argmax(1), CANDIDATES).astype(np.int32)


def _chosen(ranked: Vectors, choice: Ints) -> Vectors:
    index = np.minimum(choice, CANDIDATES - 1)[:, None, None]
    return np.take_along_axis(ranked, index, 1)[:, 0]


def _clipped(vectors: Vectors) -> Vectors:
    return np.clip(vectors, -VECTOR_LIMIT, VECTOR_LIMIT)


def _base_features(
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
    ranked, weight, number = _ranked(offered, valid, _BASE_WEIGHTS)
    median, spread = _median_and_spread(offered[:, :4], stage.known)
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
            _distance(ranked[:, 0], ranked[:, 1]) * (number > 1),
            _size(spread.max(1)),
            (isnew[stage.near] * stage.known).sum(1),
            np.where(previous.known, _distance(last, ranked[:, 0]), 9),
            np.where(previous.known, previous.calm[stage.units], 5),
            np.where(previous.known, previous.split[stage.units], 2),
            _size(np.abs(ranked[:, 0]).sum(1)),
            _distance(median, ranked[:, 0]),
        ]
    ).astype(np.int32)
    return features, ranked, number, median, spread


def _walk(
    shape: tuple[int, int],
    previous: NDArray[np.int16] | None,
    coder: _Coder,
    vectors: NDArray[np.int16] | None,
) -> Vectors:
    rows, columns = shape[0] // 2, shape[1] // 2
    before = Previous(previous, shape)
    truth = None if vectors is None else units(vectors.astype(np.int32))
    true_base = None if truth is None else bases(truth)
    base = np.zeros((rows * columns, 2), np.int32)
    isnew = np.zeros(rows * columns, np.int32)
    for stage in stages(rows, columns):
        target = None if true_base is None else true_base[stage.units]
        features, ranked, number, median, spread = _base_features(stage, base, isnew, before)
        choice = None if target is None else _choice(target, ranked, number)
        choice = coder.symbols("base", features, choice)
        value = _chosen(ranked, choice)
        new = np.flatnonzero(choice == CANDIDATES)
        if len(new):
            delta = None if target is None else target[new] - median[new]
            hints = np.concatenate([ranked[new, :3], before.base[stage.units[new], None]], 1)
            hints = hints - median[new, None]
            delta = _difference(coder, "base", features[new], spread[new], hints, delta)
            value[new] = _clipped(median[new] + delta)
        base[stage.units] = value
        isnew[stage.units] = choice == CANDIDATES
    split = _walk_split(rows, columns, base, isnew, before, coder, truth)
    blocks = np.repeat(base[:, None], 4, 1)
    if len(split):
        _walk_blocks(rows, columns, split, base, blocks, before, coder, truth)
    return fields(blocks, shape)


def _walk_split(
    rows: int,
    columns: int,
    base: Vectors,
    isnew: Ints,
    before: Previous,
    coder: _Coder,
    truth: Vectors | None,
) -> NDArray[np.int64]:
    """Code which units are split, on the two colours of a chessboard; their numbers, ascending."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    split = np.zeros(rows * columns, np.int32)
    for colour in range(2):
        units = np.flatnonzero((row + column) % 2 == colour)
        if not len(units):
            continue
        near, inside = neighbours(row[units], column[units], (rows, columns), _CROSS)
        distance = _distance(base[near], base[units][:, None]) * inside
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
                np.where(before.known, _distance(last, base[units]), 9),
                np.full(len(units), colour),
                (split[near] * inside).sum(1),
                _size(np.abs(base[units]).sum(1)),
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
    coder: _Coder,
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
        ranked, weight, number = _ranked(offered, valid, _BLOCK_WEIGHTS[: k + 4])
        features = np.column_stack(
            [
                np.full(n, k),
                number,
                weight[:, 0],
                weight[:, 1],
                _distance(ranked[:, 0], ranked[:, 1]) * (number > 1),
                same(coded[:, :k], own[:, None]).sum(1),
                _choice(own, ranked, number),
                _distance(base[near[:, 0]], own) * inside[:, 0],
                _distance(base[near[:, 1]], own) * inside[:, 1],
                np.where(before.known, _distance(last, own), 9),
                np.where(before.known, before.split[units], 2),
            ]
        ).astype(np.int32)
        target = None if truth is None else truth[units, k]
        choice = None if target is None else _choice(target, ranked, number)
        choice = coder.symbols("block", features, choice)
        coded[:, k] = _chosen(ranked, choice)
        new = np.flatnonzero(choice == CANDIDATES)
        if len(new):
            _, spread = _median_and_spread(offered[new, :3], valid[new, :3])
            delta = None if target is None else target[new] - own[new]
            beside = np.where(inside[..., None], base[near], own[:, None])
            hints = np.concatenate([beside, last[:, None]], 1)[new] - own[new, None]
            delta = _difference(coder, "block", features[new], spread, hints, delta)
            coded[new, k] = _clipped(own[new] + delta)
    blocks[units] = coded


# --- coders -------------------------------------------------------------------------------------


class Recorder:
    """Keeps what the walk codes, for pricing and for fitting tables.

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
        """Bits of the whole."""
        total = 0.0
        for name, features, values in self.calls:
            if name:
                leaf = contexts.trees[name].leaf(features)
                total += float(contexts.cost(name)[leaf, values].sum())
            else:
                total += int(features.sum())
        return total


class _Writer:
    def __init__(self, encoder: SymbolEncoder, contexts: Contexts) -> None:
        self._contexts = contexts
        self._encoder = encoder

    def symbols(self, name: str, features: Ints, values: Ints | None) -> Ints:
        assert values is not None
        index = self._contexts.trees[name].leaf(features)
        self._encoder.put(self._contexts.tables[name], values, index)
        return values

    def uniform(self, widths: Ints, values: Ints | None) -> Ints:
        assert values is not None
        for width in np.unique(widths[widths > 0]).tolist():
            self._encoder.put_uniform(values[widths == width], 1 << width)
        return values


class _Reader:
    def __init__(self, decoder: SymbolDecoder, contexts: Contexts) -> None:
        self._contexts = contexts
        self._decoder = decoder

    def symbols(self, name: str, features: Ints, values: Ints | None) -> Ints:
        index = self._contexts.trees[name].leaf(features)
        return self._decoder.get(self._contexts.tables[name], index)

    def uniform(self, widths: Ints, values: Ints | None) -> Ints:
        out = np.zeros(len(widths), np.int32)
        for width in np.unique(widths[widths > 0]).tolist():
            at = widths == width
            out[at] = self._decoder.get_uniform(int(at.sum()), 1 << width)
        return out


# --- prices for the search ----------------------------------------------------------------------


def difference_bits(difference: Vectors) -> NDArray[np.float32]:
    """About what a difference ``[..., 2]`` from a prediction costs, ``[...]``."""
    magnitude = np.abs(difference).astype(np.float32)
    product = (1 + magnitude[..., 0]) * (1 + magnitude[..., 1])
    bits: NDArray[np.float32] = np.float32(3.3) + np.float32(1.5) * np.log2(product)
    return bits


class UnitCosts:
    """Bits of any base vector of some units if their four nearest neighbours were all known.

    That is how half of the units are coded; for the others it is an estimate.

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
        near, known = neighbours(row, column, before.grid, _CROSS)
        stage = Stage(at, near, known, level=0)
        features, self._ranked, self._number, self.median, _ = _base_features(
            stage, base, isnew, before
        )
        self._cost = contexts.cost("base")[contexts.trees["base"].leaf(features)]
        self.near = np.where(known[..., None], base[near], 0)

    def choice(self, vectors: Vectors) -> Ints:
        """Which symbol each vector takes, ``[N, 2] -> [N]``; CANDIDATES for a difference."""
        return _choice(vectors, self._ranked, self._number)

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


# --- public -------------------------------------------------------------------------------------


def record_motion(vectors: NDArray[np.int16], previous: NDArray[np.int16] | None) -> Recorder:
    """Every symbol that coding ``vectors`` takes. Arguments as for :func:`put_motion`."""
    recorder = Recorder()
    _walk(vectors.shape[:2], previous, recorder, _checked(vectors))
    return recorder


def _checked(vectors: NDArray[np.int16]) -> NDArray[np.int16]:
    if vectors.shape[0] % 2 or vectors.shape[1] % 2 or vectors.shape[2:] != (2,):
        raise ValueError(f"a field of motion is [even, even, 2], not {list(vectors.shape)}")
    if np.abs(vectors.astype(np.int32)).max() > VECTOR_LIMIT:
        raise ValueError(f"a vector is longer than {VECTOR_LIMIT} quarter samples")
    return vectors


def motion_bits(
    vectors: NDArray[np.int16],
    previous: NDArray[np.int16] | None,
    contexts: Contexts | None = None,
) -> float:
    """Bits that the motion section takes, but for the skip map and the rounding to bytes."""
    if not vectors.any():
        return 0.0
    return record_motion(vectors, previous).bits(contexts or shipped_contexts())


def put_motion(
    encoder: SymbolEncoder,
    vectors: NDArray[np.int16],
    previous: NDArray[np.int16] | None,
    contexts: Contexts | None = None,
) -> None:
    """Code a field of vectors.

    Args:
        encoder: the run that takes it.
        vectors: int16 ``[H / 8, W / 8, 2]``, (dx, dy) in quarter luma samples, within
            ``+-VECTOR_LIMIT``; both sides even.
        previous: the field of the frame before, of the same shape; None after an intra frame.
        contexts: other tables than the format's, for experiments.

    Raises:
        ValueError: if the shape or a vector is out of range.
    """
    writer = _Writer(encoder, contexts or shipped_contexts())
    _walk(vectors.shape[:2], previous, writer, _checked(vectors))


def get_motion(
    decoder: SymbolDecoder,
    shape: tuple[int, int],
    previous: NDArray[np.int16] | None,
    contexts: Contexts | None = None,
) -> NDArray[np.int16]:
    """Read what :func:`put_motion` wrote.

    Args:
        decoder: the run that has it.
        shape: (H / 8, W / 8), both even.
        previous: as given to the encoder.
        contexts: as given to the encoder.

    Returns:
        int16 ``[H / 8, W / 8, 2]`` within ``+-VECTOR_LIMIT``, even from damaged data.

    Raises:
        StreamError: if it cannot be read at all.
    """
    reader = _Reader(decoder, contexts or shipped_contexts())
    return _walk(shape, previous, reader, None).astype(np.int16)
