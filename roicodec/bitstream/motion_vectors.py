"""Vectors of motion coding: units of 2x2 blocks, ranked candidates, differences by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import VECTOR_LIMIT
from roicodec.bitstream.entropy import Ints

__all__ = [
    "CANDIDATES",
    "MAGNITUDES",
    "Bools",
    "Vectors",
    "bases",
    "bit_length",
    "choice_symbol",
    "chosen_vectors",
    "clip_vectors",
    "fields",
    "magnitude_class",
    "magnitude_of",
    "magnitude_width",
    "median_and_spread",
    "rank_candidates",
    "same",
    "units",
    "vector_distance",
]

CANDIDATES = 4
"""Most vectors that a choice offers besides "none of these"."""

MAGNITUDES = 24
"""Classes of a difference's absolute value; :func:`magnitude_class`."""

Vectors = NDArray[np.int32]
Bools = NDArray[np.bool_]


def magnitude_class(magnitude: Ints) -> tuple[Ints, Ints, Ints]:
    """Class, number of extra bits and their value, of absolute values 0..8191.

    0..3 are classes of their own; from 4 on there are two to an octave: 4-5, 6-7, 8-11, 12-15, ...
    """
    m = magnitude.astype(np.int32)
    octave = np.frexp(np.maximum(m, 1))[1].astype(np.int32) - 1
    width = np.maximum(octave - 1, 0)
    number = np.where(m < 4, m, 2 * octave + ((m >> width) & 1))
    return number, np.where(m < 4, 0, width), m & ((1 << width) - 1)


def magnitude_width(number: Ints) -> Ints:
    return np.where(number < 4, 0, number // 2 - 1).astype(np.int32)


def magnitude_of(number: Ints, extra: Ints) -> Ints:
    width = magnitude_width(number)
    return np.where(number < 4, number, ((2 + (number & 1)) << width) + extra).astype(np.int32)


def vector_distance(a: Vectors, b: Vectors) -> Ints:
    """Distance class of vectors ``[..., 2]``: 0 if equal, else 1 + floor(log2(|dx| + |dy|)), at
    most 8."""
    return bit_length(np.abs(a[..., 0] - b[..., 0]) + np.abs(a[..., 1] - b[..., 1]))


def bit_length(magnitude: Ints) -> Ints:
    return np.minimum(np.frexp(magnitude)[1], 8).astype(np.int32)


def rank_candidates(
    offered: Vectors, valid: Bools, weights: Sequence[int]
) -> tuple[Vectors, Ints, Ints]:
    """Distinct vectors among those offered, in descending order of the weight that votes for them.

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


def median_and_spread(offered: Vectors, valid: Bools) -> tuple[Vectors, Vectors]:
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


def same(a: Vectors, b: Vectors) -> Bools:
    """Equality of vectors ``[..., 2]``, ``[...]``."""
    out: Bools = (a[..., 0] == b[..., 0]) & (a[..., 1] == b[..., 1])
    return out


def units(vectors: Vectors) -> Vectors:
    """Blocks grouped by unit, ``[H, W, 2]`` -> ``[H / 2 * W / 2, 4, 2]``, both in raster order."""
    h, w, _ = vectors.shape
    return vectors.reshape(h // 2, 2, w // 2, 2, 2).swapaxes(1, 2).reshape(-1, 4, 2)


def fields(blocks: Vectors, shape: tuple[int, int]) -> Vectors:
    """The inverse of :func:`units`; ``shape`` is [H, W]."""
    h, w = shape
    return blocks.reshape(h // 2, w // 2, 2, 2, 2).swapaxes(1, 2).reshape(h, w, 2)


def bases(blocks: Vectors) -> Vectors:
    """Commonest of four vectors, the first of equally common ones; ``[N, 4, 2] -> [N, 2]``."""
    agree = same(blocks[:, :, None], blocks[:, None]).sum(2)
    best = agree.argmax(1)
    return np.take_along_axis(blocks, best[:, None, None], 1)[:, 0]


def choice_symbol(offered: Vectors, ranked: Vectors, number: Ints) -> Ints:
    """Rank of ``offered`` ``[N, 2]`` among the ranked vectors ``[N, C, 2]``; C for none."""
    equal = same(ranked, offered[:, None])
    equal &= np.arange(CANDIDATES) < np.maximum(number, 1)[:, None]
    return np.where(equal.any(1), equal.argmax(1), CANDIDATES).astype(np.int32)


def chosen_vectors(ranked: Vectors, choice: Ints) -> Vectors:
    index = np.minimum(choice, CANDIDATES - 1)[:, None, None]
    return np.take_along_axis(ranked, index, 1)[:, 0]


def clip_vectors(vectors: Vectors) -> Vectors:
    return np.clip(vectors, -VECTOR_LIMIT, VECTOR_LIMIT)
