"""Adaptive loop filter of a plane: classes of 4x4 blocks, their filters, and the switches.

Integers throughout; the text is in ``docs/format.md``, section "Post-filter". What classes and
taps mean: :mod:`roicodec.decoder.post_filter`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = [
    "ACTIVITIES", "ALL_ON", "DIRECTIONS", "SWITCHES", "TAPS", "TURNED", "WEIGHTS",
    "classes", "differences", "filter_plane", "filter_table", "merge", "squared_gains",
]  # fmt: skip

ACTIVITIES, DIRECTIONS, TAPS = 16, 9, 12
WEIGHTS = 2 * TAPS
"""Weights of a filter: of the differences, then of the clipped ones."""
SWITCHES = ACTIVITIES // 2
"""Switches of a plane: one for two activities."""
ALL_ON = (1 << SWITCHES) - 1

_REACH = 3
_OFFSETS = [
    (i, j)
    for i in range(_REACH + 1)
    for j in range(-_REACH, _REACH + 1)
    if abs(i) + abs(j) <= _REACH and (i, j) > (0, 0)
]


def _tap(i: int, j: int) -> int:
    return _OFFSETS.index(max((i, j), (-i, -j)))


_TURNED_TAPS = np.array(
    [[_tap(i, j), _tap(j, i), _tap(-i, j), _tap(-j, i)] for i, j in _OFFSETS]
).T  # fmt: skip

TURNED = np.concatenate((_TURNED_TAPS, TAPS + _TURNED_TAPS), 1)
"""Number at turn 0 of each weight, ``[turn, weight]``."""

_CONTRASTS = (5, 8, 12, 24)
"""Quarters of the weaker direction that the stronger must exceed."""
_SHIFT = 8
_BLOCK = 4
_ROWS = 128
"""Rows at a time, whose arrays stay in the cache."""

Ints = NDArray[np.int32]
Samples = NDArray[np.uint8]
Filtered = tuple[Samples, NDArray[np.uint8]]


def filter_table(weights: NDArray[np.int32]) -> NDArray[np.int16]:
    """Filters of every class at every turn, as pairs of weights.

    Args:
        weights: ``[16, 9, 24]``; absolute values of a filter sum to less than ``2**15``.

    Returns:
        int16 ``[16 * 9 * 4 + 1, 12, 2]``, the pairs of plain and clipped differences; the last
        filter changes nothing.
    """
    turned = np.empty((*weights.shape[:2], len(TURNED), WEIGHTS), np.int16)
    for turn, order in enumerate(TURNED):
        turned[:, :, turn, order] = weights
    rows = turned.reshape(-1, 2, TAPS).swapaxes(1, 2)
    return np.concatenate((rows, np.zeros((1, TAPS, 2), np.int16)))


# --- reference ----------------------------------------------------------------------------------


def _blocks(samples: NDArray[np.int16]) -> Ints:
    """Sums over a 4x4 block, twice, and over its four neighbours."""
    rows = samples[0::4] + samples[1::4] + samples[2::4] + samples[3::4]
    sums = rows[:, 0::4] + rows[:, 1::4] + rows[:, 2::4] + rows[:, 3::4]
    wide = np.pad(sums.astype(np.int32), 1, "edge")
    beside: Ints = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    beside += 2 * wide[1:-1, 1:-1]
    return beside


def classes(plane: Samples, levels: Ints) -> tuple[Ints, Ints, Ints]:
    """Activity 0..15, direction 0..8 and turn 0..3 of every 4x4 block, ``[H / 4, W / 4]``.

    Args:
        plane: ``[H, W]``, sides multiples of 4.
        levels: where the next activity begins, ascending ``[15]``.
    """
    height, width = plane.shape
    p = np.pad(plane, 1, "edge").astype(np.int16)
    twice = 2 * p[1:-1, 1:-1]

    def along(dy: int, dx: int) -> Ints:
        one = p[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        other = p[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]
        return _blocks(np.abs(twice - one - other))

    v, h, d, e = along(1, 0), along(0, 1), along(1, 1), along(1, -1)
    activity = np.searchsorted(levels, v + h, side="right").astype(np.int32)
    straight = np.maximum(h, v).astype(np.int64), np.minimum(h, v).astype(np.int64)
    oblique = np.maximum(d, e).astype(np.int64), np.minimum(d, e).astype(np.int64)
    is_straight = straight[0] * oblique[1] > oblique[0] * straight[1]
    strong, weak = (np.where(is_straight, s, o) for s, o in zip(straight, oblique, strict=True))
    contrast = sum((4 * strong > k * weak).astype(np.int32) for k in _CONTRASTS)
    direction = np.where(contrast > 0, 2 * contrast - is_straight, 0).astype(np.int32)
    turn = (2 * (e >= d) + (v >= h)).astype(np.int32)
    return activity, direction, turn


def differences(
    plane: Samples, bounds: Ints, rows: slice, column: int
) -> Iterator[tuple[Ints, Ints]]:
    """Differences of each tap's two samples from the middle one, summed: plain, and clipped before.

    Args:
        plane: uint8 ``[H, W]``, sides multiples of 4.
        bounds: to what the differences of a block are clipped, ``[H / 4, W / 4]``.
        rows: 4h of the plane, from a multiple of 4 on.
        column: 0..3: of the blocks.

    Yields:
        twice int32 ``[h, 4, W / 4]``, tap by tap.
    """
    height, width = plane.shape
    top, bottom = max(rows.start - _REACH, 0), min(rows.stop + _REACH, height)
    above, below = _REACH - (rows.start - top), _REACH - (bottom - rows.stop)
    margins = (above, below), (_BLOCK, _BLOCK)
    wide = np.pad(plane[top:bottom], margins, "edge").astype(np.int32)
    columns = [np.ascontiguousarray(wide[:, c::_BLOCK]) for c in range(_BLOCK)]

    def shifted(i: int, j: int) -> Ints:
        left = 1 + (column + j) // _BLOCK
        part = columns[(column + j) % _BLOCK][_REACH + i : len(wide) - _REACH + i]
        return part[:, left : left + width // _BLOCK].reshape(-1, _BLOCK, width // _BLOCK)

    middle = shifted(0, 0)
    high = bounds[rows.start // _BLOCK : rows.stop // _BLOCK, None]
    for i, j in _OFFSETS:
        one, other = shifted(i, j) - middle, shifted(-i, -j) - middle
        plain = one + other
        for side in one, other:
            np.minimum(side, high, out=side)
            np.maximum(side, -high, out=side)
        yield plain, np.add(one, other, out=one)


def _filter_plane(
    plane: Samples, table: NDArray[np.int16], levels: Ints, bounds: Ints, switches: int
) -> Filtered:
    activity, direction, turn = classes(plane, levels)
    filters = (activity * DIRECTIONS + direction) * len(TURNED) + turn
    filters = np.where(switches >> activity // 2 & 1, filters, len(table) - 1)
    weights = np.ascontiguousarray(table[filters].transpose(2, 3, 0, 1), np.int32)
    out = np.empty(plane.shape, np.uint8)
    for top in range(0, len(plane), _ROWS):
        rows = slice(top, min(top + _ROWS, len(plane)))
        w = weights[:, :, top // _BLOCK : rows.stop // _BLOCK, None]
        for column in range(_BLOCK):
            middle = plane[rows, column::_BLOCK]
            total = np.full((w.shape[2], _BLOCK, w.shape[4]), 1 << (_SHIFT - 1), np.int32)
            taps = differences(plane, bounds[activity], rows, column)
            for tap, (plain, clipped) in enumerate(taps):
                total += np.multiply(plain, w[tap, 0], out=plain)
                total += np.multiply(clipped, w[tap, 1], out=clipped)
            total >>= _SHIFT
            changed = total.reshape(middle.shape)
            changed += middle
            out[rows, column::_BLOCK] = changed.clip(0, 255, out=changed)
    return out, activity.astype(np.uint8)


def _merge(before: Samples, after: Samples, activity: NDArray[np.uint8], switches: int) -> Samples:
    on = (switches >> (activity // 2).astype(np.int32) & 1).astype(bool)
    return np.where(on.repeat(4, 0).repeat(4, 1), after, before)


def _squared_gains(
    before: Samples, after: Samples, activity: NDArray[np.uint8], target: Samples
) -> NDArray[np.int64]:
    height, width = target.shape
    one, other = (p[:height, :width].astype(np.int16) - target for p in (before, after))
    gained = np.zeros(before.shape, np.int32)
    # before² - after²
    np.multiply(one - other, one + other, gained[:height, :width], dtype=np.int32)
    rows, columns = activity.shape
    blocks = gained.reshape(rows, 4, -1).sum(1).reshape(rows, columns, 4).sum(2)
    won = np.bincount((activity // 2).ravel(), blocks.ravel(), SWITCHES)
    return won.astype(np.int64)


# --- native -------------------------------------------------------------------------------------


def _native_filter_plane(
    plane: Samples, table: NDArray[np.int16], levels: Ints, bounds: Ints, switches: int
) -> Filtered:
    height, width = _sides(plane)
    plane = np.ascontiguousarray(plane)
    out, activity = np.empty(plane.shape, np.uint8), np.empty((height // 4, width // 4), np.uint8)
    _check(table.shape == (ACTIVITIES * DIRECTIONS * len(TURNED) + 1, TAPS, 2), "filters", table)
    _check(levels.shape == (ACTIVITIES - 1,), "levels", levels)
    _check(bounds.shape == (ACTIVITIES,), "bounds", bounds)
    done = function("rq_post_filter", "pllpppipp", "i")(
        address(plane, np.uint8), height, width, address(table, np.int16),
        address(levels, np.int32), address(bounds, np.int32), switches,
        address(out, np.uint8), address(activity, np.uint8),
    )  # fmt: skip
    if done:
        raise MemoryError("no memory for the post-filter")
    return out, activity


def _native_merge(
    before: Samples, after: Samples, activity: NDArray[np.uint8], switches: int
) -> Samples:
    height, width = _same_sides(before, after, activity)
    before, after = np.ascontiguousarray(before), np.ascontiguousarray(after)
    out = np.empty(before.shape, np.uint8)
    function("rq_post_filter_merge", "pppllip")(
        address(before, np.uint8), address(after, np.uint8), address(activity, np.uint8), height,
        width, switches, address(out, np.uint8),
    )  # fmt: skip
    return out


def _native_squared_gains(
    before: Samples, after: Samples, activity: NDArray[np.uint8], target: Samples
) -> NDArray[np.int64]:
    height, width = _same_sides(before, after, activity)
    rows, columns = target.shape
    _check(rows <= height and columns <= width, "target", target)
    before, after = np.ascontiguousarray(before), np.ascontiguousarray(after)
    target = np.ascontiguousarray(target)
    won = np.zeros(SWITCHES, np.int64)
    function("rq_post_filter_gains", "ppplpllp")(
        address(before, np.uint8), address(after, np.uint8), address(activity, np.uint8), width,
        address(target, np.uint8), rows, columns, address(won, np.int64),
    )  # fmt: skip
    return won


def _sides(plane: Samples) -> tuple[int, int]:
    height, width = plane.shape
    _check(height % 4 == width % 4 == 0, "plane", plane)
    return height, width


def _same_sides(before: Samples, after: Samples, activity: NDArray[np.uint8]) -> tuple[int, int]:
    height, width = _sides(before)
    _check(after.shape == before.shape, "filtered plane", after)
    _check(activity.shape == (height // 4, width // 4), "activity", activity)
    return height, width


def _check(fits: bool, what: str, array: NDArray[np.generic]) -> None:
    if not fits:
        raise ValueError(f"post-filter: {what} of shape {list(array.shape)}")


# --- operations ---------------------------------------------------------------------------------


def _probe_planes() -> tuple[Samples, Samples]:
    """A picture with edges and noise, and another."""
    y, x = np.indices((44, 76))
    noise = (x * 7919 + y * 104729 + x * y * 31) % 97
    one = (x * y // 3 + noise * x // 40) % 256
    other = np.where((x + 2 * y) % 13 < 6, one, 255 - one)
    return one.astype(np.uint8), other.astype(np.uint8)


def _probe_filter(form: Callable[..., Filtered]) -> Arrays:
    number = np.arange(ACTIVITIES * DIRECTIONS * WEIGHTS).reshape(ACTIVITIES, DIRECTIONS, WEIGHTS)
    table = filter_table((number * 7727 % 121 - 60).astype(np.int32))
    table[:40] = 1365 * (-1) ** np.arange(40)[:, None, None]
    levels = (40 + 25 * np.arange(15) ** 3).astype(np.int32)
    bounds = np.arange(1, 33, 2, dtype=np.int32)
    bounds[-1] = 300
    for plane in _probe_planes():
        for switches in (ALL_ON, 0x5A):
            yield from form(plane, table, levels, bounds, switches)


def _probe_merge(form: Callable[..., Samples]) -> Arrays:
    one, other = _probe_planes()
    yield form(one, other, one[:11, :19] // 16, 0x6D)


def _probe_gains(form: Callable[..., NDArray[np.int64]]) -> Arrays:
    one, other = _probe_planes()
    target = np.ascontiguousarray(one[:42, 4:75])
    yield form(one, other, one[:11, :19] // 16, target)


filter_plane = Operation(
    "post-filter", _filter_plane, _native_filter_plane, _probe_filter, 0x52983D57
)
"""Filter the blocks of a plane whose activities are switched on.

Args:
    plane: uint8 ``[H, W]``, sides multiples of 4.
    table: of :func:`filter_table`.
    levels: where the next activity begins, ascending int32 ``[15]``.
    bounds: to what the differences of a block are clipped by its activity, >= 0, int32 ``[16]``.
    switches: bit ``a // 2`` for blocks of activity a.

Returns:
    the plane, and the activity of its blocks, uint8 ``[H / 4, W / 4]``.
"""

merge = Operation("post-filter merge", _merge, _native_merge, _probe_merge, 0x60A9F2D5)
"""Samples of a plane after the filter where the block's activity a is switched on, else before.

Args:
    before, after: uint8 ``[H, W]``, sides multiples of 4.
    activity: 0..15, uint8 ``[H / 4, W / 4]``.
    switches: bit ``a // 2`` for blocks of activity a.
"""

squared_gains = Operation(
    "post-filter switches", _squared_gains, _native_squared_gains, _probe_gains, 0x5B547346
)
"""Squared error against a target that the filter takes away, for every switch, int64 ``[8]``.

Args:
    before, after: uint8 ``[H, W]``, sides multiples of 4.
    activity: 0..15, uint8 ``[H / 4, W / 4]``.
    target: uint8 ``[H', W']`` with H' <= H and W' <= W.
"""
