"""Rate-aware refinement of a field of vectors.

J = residual bits + weight * motion bits is minimized unit by unit on the two colours of a
chessboard (iterated conditional modes; Besag, 1986): each unit weighs its own vectors, its
neighbours', those of the frame before and small displacements by what they predict and by what
this codec charges for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import VECTOR_LIMIT
from roicodec.bitstream.entropy import Ints
from roicodec.bitstream.motion_trees import Contexts, shipped_contexts
from roicodec.bitstream.motion_vectors import CANDIDATES, Vectors, bases, fields, same, units
from roicodec.bitstream.motion_walk import Previous
from roicodec.encoder.motion.match import (
    BIT,
    Matcher,
    frame_arguments,
    match_prices,
    probe_matchers,
)
from roicodec.encoder.motion.vector_costs import UnitCosts, base_costs, difference_bits, lengths
from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = ["VECTOR_WEIGHT", "refine", "refine_colour"]

VECTOR_WEIGHT = 0.35
"""Weight of a bit of motion against one of residual: good prediction also serves later frames.
"""

_RING = np.array(((0, -1), (-1, 0), (1, 0), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1)), np.int32)

_VERTICAL, _HORIZONTAL = (0, 0, 3, 3), (1, 2, 1, 2)
"""Which of a unit's neighbours touch each of its blocks."""

_SPLIT_BITS, _WHOLE_BITS, _SAME_BITS, _OTHER_BITS, _NEW_BITS = 5120, 307, 819, 3072, 5120
"""Rounded mean prices, in 1/1024 bit, of the symbols of split units."""

_REMEMBERED = 24
"""Vectors of a unit whose prices native code remembers."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """State of a refinement.

    Attributes:
        matcher: of the frame.
        blocks: vectors of the units' blocks, int32 ``[N, 4, 2]``, changed.
        isnew: whether a unit's base is coded as a difference, int32 ``[N]``, changed.
        before: the field of the frame before.
        contexts: tables of the motion section.
        weight: of a bit of motion against one of residual, in 1/1024.
        memory: prices that native code remembers, int32 ``[N, 121]``, zeros at first.
    """

    matcher: Matcher
    blocks: Vectors
    isnew: Ints
    before: Previous
    contexts: Contexts
    weight: int
    memory: Ints


def refine(
    matcher: Matcher,
    start: NDArray[np.int16],
    previous: NDArray[np.int16] | None,
    *,
    weight: float = VECTOR_WEIGHT,
    sweeps: int = 2,
    reaches: Sequence[int] = (),
    contexts: Contexts | None = None,
) -> NDArray[np.int16]:
    """Field of vectors of lower J = residual bits + weight * motion bits.

    Args:
        matcher: of the current frame and its reference, both extended to multiples of 32.
        start: int16 ``[H / 8, W / 8, 2]``.
        previous: the field of the frame before, of the same shape, or None.
        weight: of a bit of motion; 0 for the best prediction.
        sweeps: how often each unit is visited, with displacements of a quarter sample.
        reaches: displacements, in quarter samples, of sweeps before those.
        contexts: other tables than the format's, for fitting.

    Returns:
        int16 ``[H / 8, W / 8, 2]`` in quarter luma samples.
    """
    shape = (start.shape[0], start.shape[1])
    blocks = np.ascontiguousarray(units(start.astype(np.int32)))
    state = Refinement(
        matcher,
        blocks,
        np.zeros(len(blocks), np.int32),
        Previous(previous, shape),
        contexts or shipped_contexts(),
        round(weight * BIT),
        np.zeros((len(blocks), 1 + 5 * _REMEMBERED), np.int32),
    )
    rings = [reach * _RING for reach in reaches]
    rings += [_RING[: 8 if sweep or reaches else 4] for sweep in range(sweeps)]
    for ring in rings:
        for colour in (0, 1):
            refine_colour(state, ring, colour)
    return fields(blocks, shape).astype(np.int16)


# --- reference ----------------------------------------------------------------------------------


def _refine_colour(state: Refinement, ring: Ints, colour: int) -> None:
    blocks, before, weight = state.blocks, state.before, state.weight
    row, column = np.divmod(np.arange(len(blocks)), before.grid[1])
    at = np.flatnonzero((row + column) % 2 == colour)
    base = bases(blocks)
    costs = UnitCosts(at, base, state.isnew, before, state.contexts)
    n = len(at)
    offers = [
        blocks[at],
        costs.near,
        costs.median[:, None],
        np.zeros((n, 1, 2), np.int32),
        base[at][:, None] + ring,
    ]
    if before.known:
        offers.append(before.blocks[at])
    tried = np.clip(np.concatenate(offers, 1), -VECTOR_LIMIT, VECTOR_LIMIT)
    tried, valid = _distinct(tried)
    left = np.full((*valid.shape, 4), 1 << 40, np.int64)
    unit = np.broadcast_to(at[:, None], valid.shape)[valid].astype(np.int32)
    left[valid] = match_prices.reference(state.matcher, unit, tried[valid])
    left *= BIT

    bits = costs.bits(tried)
    whole = left.sum(2) + weight * (bits + _WHOLE_BITS).astype(np.int64)
    best = whole.argmin(1)
    everyone = np.arange(n)
    price = whole[everyone, best]
    # The unit's base if it is split: the best whole vector. Each block then picks its own.
    centre = tried[everyone, best]
    beside = same(tried[:, None], costs.near[:, :, None])
    known = beside[:, _VERTICAL] | beside[:, _HORIZONTAL]
    away = _NEW_BITS + difference_bits(tried - centre[:, None])
    block_bits = np.where(known, _OTHER_BITS, away[:, None]).astype(np.int64)
    block_bits[everyone, :, best] = _SAME_BITS
    block_price = left.swapaxes(1, 2) + weight * block_bits
    pick = block_price.argmin(2)
    split_price = np.take_along_axis(block_price, pick[..., None], 2).sum((1, 2))
    split_price += weight * (bits[everyone, best] + _SPLIT_BITS).astype(np.int64)
    split = split_price < price
    pick[~split] = best[~split, None]
    chosen = np.take_along_axis(tried, pick[..., None], 1)
    blocks[at] = chosen
    state.isnew[at] = costs.choice(bases(chosen)) == CANDIDATES


def _distinct(vectors: Vectors) -> tuple[Vectors, NDArray[np.bool_]]:
    """Sort the rows' vectors ``[N, K, 2]`` and mark the first of equal ones, ``[N, K]``."""
    packed = np.sort((vectors[..., 0] << 16) + vectors[..., 1] + 32768, axis=1)
    first = np.ones(packed.shape, np.bool_)
    first[:, 1:] = packed[:, 1:] != packed[:, :-1]
    return np.stack([packed >> 16, (packed & 65535) - 32768], -1), first


# --- native -------------------------------------------------------------------------------------


def _native_refine_colour(state: Refinement, ring: Ints, colour: int) -> None:
    before, count = state.before, len(state.blocks)
    if before.grid != state.matcher.grid or count != before.grid[0] * before.grid[1]:
        raise ValueError(f"vectors of {before.grid} units in a frame of {state.matcher.grid}")
    if len(ring) > len(_RING):
        raise ValueError(f"{len(ring)} displacements of a unit")
    ring = np.ascontiguousarray(ring, np.int32)
    nodes = state.contexts.laid_out[1][0]
    costs = base_costs(state.contexts)
    before_arrays = [
        np.ascontiguousarray(array, np.int32)
        for array in (before.base, before.split, before.calm, before.blocks)
    ]
    call = function("rq_refine_vectors", "pllpppp" + "ppi" + "pppp" + "pppi" + "pl" + "pl")
    call(
        *frame_arguments(state.matcher),
        address(state.blocks, np.int32, writable=True),
        address(state.isnew, np.int32, writable=True),
        int(before.known),
        *(address(array, np.int32) for array in before_arrays),
        *(address(array, np.int32) for array in (nodes, costs, lengths())),
        state.weight,
        address(ring, np.int32),
        len(ring),
        address(state.memory, np.int32, writable=True),
        colour,
    )


# --- operation ----------------------------------------------------------------------------------


def _probe(form: Callable[[Refinement, Ints, int], None]) -> Arrays:
    row, column = np.indices((6, 8))
    start = np.stack([row * 13 % 7 - 3 + column // 4 * 5, column * 11 % 5 - 2], -1)
    for number, matcher in enumerate(probe_matchers()):
        blocks = np.ascontiguousarray(units(start.astype(np.int32)))
        previous = None if number else (start * 2).astype(np.int16)
        state = Refinement(
            matcher,
            blocks,
            np.zeros(len(blocks), np.int32),
            Previous(previous, (6, 8)),
            shipped_contexts(),
            358,
            np.zeros((len(blocks), 1 + 5 * _REMEMBERED), np.int32),
        )
        for ring in (2 * _RING, _RING[:4]):
            for colour in (0, 1):
                form(state, ring, colour)
        yield state.blocks
        yield state.isnew


refine_colour = Operation(
    "refinement of vectors", _refine_colour, _native_refine_colour, _probe, 0x43C75943
)
"""Give the units of one colour of the chessboard their best vectors, the others' standing.

Args:
    state: of the refinement, changed.
    ring: displacements of a unit's base that are tried, int32 ``[<= 8, 2]``.
    colour: 0 or 1.
"""
