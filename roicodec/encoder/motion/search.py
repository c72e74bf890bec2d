"""Rate-aware motion search against the codec's own reference.

libx264 proposes vectors (found against its own reconstruction of the frame before); they are then
weighed against their neighbours' by what they really predict and what this codec really charges
for them: J = residual bits + weight * motion bits, minimized unit by unit on the two colours of a
chessboard (iterated conditional modes; Besag, 1986), with small displacements tried on the way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import PAD, VECTOR_LIMIT
from roicodec.bitstream.entropy import Ints
from roicodec.bitstream.motion_bits import UnitCosts, difference_bits
from roicodec.bitstream.motion_trees import Contexts, shipped_contexts
from roicodec.bitstream.motion_vectors import CANDIDATES, Vectors, bases, fields, same, units
from roicodec.bitstream.motion_walk import Previous
from roicodec.encoder.motion.match import Matcher
from roicodec.encoder.motion.x264 import Motion, pad_plane
from roicodec.picture import Picture, Plane

__all__ = ["VECTOR_WEIGHT", "refine", "search"]

_RING = np.array(((0, -1), (-1, 0), (1, 0), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1)), np.int32)

_VERTICAL, _HORIZONTAL = (0, 0, 3, 3), (1, 2, 1, 2)
"""Which of a unit's neighbours touch each of its blocks."""

_SPLIT_BITS = 5.0
_WHOLE_BITS = 0.3
_SAME_BITS = 0.8
_OTHER_BITS = 3.0
_NEW_BITS = 5.0
"""Rounded mean prices, in bits, of the symbols of split units."""


VECTOR_WEIGHT = 0.35
"""Weight of a bit of motion against one of residual: good prediction also serves later frames.
"""


def refine(
    matcher: Matcher,
    start: NDArray[np.int16],
    previous: NDArray[np.int16] | None,
    *,
    weight: float = VECTOR_WEIGHT,
    sweeps: int = 2,
    contexts: Contexts | None = None,
) -> NDArray[np.int16]:
    """Refinement of a field of vectors that lowers J = residual bits + weight * motion bits.

    Args:
        matcher: of the current frame and its reference, both extended to multiples of 32.
        start: int16 ``[H / 8, W / 8, 2]``.
        previous: the field of the frame before, of the same shape, or None.
        weight: of a bit of motion; 0 for the best prediction.
        sweeps: how often each unit is visited.
        contexts: other tables than the format's, for fitting.

    Returns:
        int16 ``[H / 8, W / 8, 2]`` in quarter luma samples.
    """
    shape = (start.shape[0], start.shape[1])
    rows, columns = shape[0] // 2, shape[1] // 2
    blocks = units(start.astype(np.int32))
    before = Previous(previous, shape)
    contexts = contexts or shipped_contexts()
    row, column = np.divmod(np.arange(rows * columns), columns)
    colours = [np.flatnonzero((row + column) % 2 == colour) for colour in (0, 1)]
    isnew = np.zeros(rows * columns, np.int32)
    for sweep in range(sweeps):
        for colour in colours:
            _visit(matcher, blocks, isnew, colour, before, contexts, weight, ring=sweep)
    return fields(blocks, shape).astype(np.int16)


def _visit(
    matcher: Matcher,
    blocks: Vectors,
    isnew: Ints,
    at: NDArray[np.int64],
    before: Previous,
    contexts: Contexts,
    weight: float,
    *,
    ring: int,
) -> None:
    """Best vectors of the units ``at`` while all others stay, set in place."""
    base = bases(blocks)
    costs = UnitCosts(at, base, isnew, before, contexts)
    n = len(at)
    own = base[at]
    offers = [
        blocks[at],
        costs.near,
        costs.median[:, None],
        np.zeros((n, 1, 2), np.int32),
        own[:, None] + _RING[: 4 if ring == 0 else 8],
    ]
    if before.known:
        offers.append(before.blocks[at])
    tried = np.clip(np.concatenate(offers, 1), -VECTOR_LIMIT, VECTOR_LIMIT)
    tried, valid = _distinct(tried)
    left = np.full((*valid.shape, 4), np.inf, np.float32)
    left[valid] = matcher.bits(np.broadcast_to(at[:, None], valid.shape)[valid], tried[valid])

    bits = costs.bits(tried)
    whole = left.sum(2) + weight * (bits + _WHOLE_BITS)
    best = whole.argmin(1)
    everyone = np.arange(n)
    price = whole[everyone, best]
    # The unit's base if it is split: the best whole vector. Each block then picks its own.
    centre = tried[everyone, best]
    beside = same(tried[:, None], costs.near[:, :, None])
    known = beside[:, _VERTICAL] | beside[:, _HORIZONTAL]
    away = _NEW_BITS + difference_bits(tried - centre[:, None])
    block_bits = np.where(known, _OTHER_BITS, away[:, None])
    block_bits[everyone, :, best] = _SAME_BITS
    block_price = left.swapaxes(1, 2) + weight * block_bits
    pick = block_price.argmin(2)
    split_price = np.take_along_axis(block_price, pick[..., None], 2).sum((1, 2))
    split_price += weight * (bits[everyone, best] + _SPLIT_BITS)
    split = split_price < price
    pick[~split] = best[~split, None]
    chosen = np.take_along_axis(tried, pick[..., None], 1)
    blocks[at] = chosen
    isnew[at] = costs.choice(bases(chosen)) == CANDIDATES


def _distinct(vectors: Vectors) -> tuple[Vectors, NDArray[np.bool_]]:
    """Sorted vectors of each row, ``[N, K, 2]``, and the first of equal ones, ``[N, K]``."""
    packed = np.sort((vectors[..., 0] << 16) + vectors[..., 1] + 32768, axis=1)
    first = np.ones(packed.shape, np.bool_)
    first[:, 1:] = packed[:, 1:] != packed[:, :-1]
    return np.stack([packed >> 16, (packed & 65535) - 32768], -1), first


def search(
    current: Picture,
    proposed: Motion,
    reference: Plane,
    previous: NDArray[np.int16] | None,
    *,
    step: float,
    weight: float = VECTOR_WEIGHT,
    sweeps: int = 2,
) -> NDArray[np.int16]:
    """The motion of a frame, int16 ``[Hp / 8, Wp / 8, 2]``, (dx, dy) in quarter luma samples.

    Args:
        current: the frame.
        proposed: what libx264 found for it.
        reference: luma of the decoded frame before, uint8, of the frame's size or extended to
            multiples of 32.
        previous: the field of the frame before; None after an intra frame.
        step: quantizer step that the residual will be coded with, in sample values.
        weight: of a bit of motion against a bit of residual; 0 for the best prediction.
        sweeps: 0 keeps the proposed vectors.
    """
    if not sweeps:
        return proposed.vectors
    matcher = Matcher(pad_plane(current.y, PAD), pad_plane(reference, PAD), step)
    return refine(matcher, proposed.vectors, previous, weight=weight, sweeps=sweeps)
