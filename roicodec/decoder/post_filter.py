"""What the networks leave of ringing and of ragged edges, taken off the picture that is shown.

Each 4x4 block of a plane has a class, by its activity against the quantizer step and by the
direction of its edges, as in the adaptive loop filter of VVC (Karczewicz et al., IEEE Trans.
Circuits and Systems for Video Technology 31(10), 2021, section V); each class has a filter that was
fitted to training clips, as in RAISR (Romano, Isidoro and Milanfar, IEEE Trans. Computational
Imaging 3(1), 2017). It weighs what its neighbours differ from a sample twice: as it is, and clipped
(nonlinear adaptive loop filter; Taquet et al., JVET-N0242, 2019), so that it can tell noise from
edges::

    planes -> classes -> filtered -> kept or not, by activity -> picture
       |
       +-> reference of the next frame, not filtered

Taps of the filter by number; opposite samples share one::

              11
          10   9   8
       7   6   5   4   3
    2  1   0   .   0   1  2
       3   4   5   6   7
           8   9  10
              11
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from roicodec.bitstream.constants import QUALITIES

__all__ = [
    "ACTIVITIES", "DIRECTIONS", "PARTS", "RANGES", "SWITCHES", "TAPS", "TURNED", "WEIGHTS",
    "FilteredPlane", "Neighbourhood", "PostFilter", "classes", "merge", "shown", "useful",
]  # fmt: skip

ACTIVITIES, DIRECTIONS, TAPS = 16, 9, 12
WEIGHTS = 2 * TAPS
"""Of a filter: of the differences, then of the clipped ones."""
SWITCHES = ACTIVITIES // 2
"""Of a plane: one for two activities."""
PARTS = 2
"""Luma and chroma."""
RANGES = 6
"""Of quality indices, equally long."""

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
"""Which weight at turn 0 each weight stands for, ``[turn, weight]``."""

_CONTRASTS = (5, 8, 12, 24)
"""Quarters of the weaker direction that the stronger must exceed."""
_SHIFT = 8
_SUM_LIMIT = 1 << 15
"""Below which sums of 510 times the weights are exact in float32."""
_BLOCK = 4
_ROWS = 128
"""At a time, whose arrays stay in the cache."""

Ints = NDArray[np.int32]
Samples = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class FilteredPlane:
    """A plane before and after, uint8 ``[H, W]``, and the activity of its blocks, 0..15
    ``[H / 4, W / 4]``."""

    before: Samples
    after: Samples
    activity: Ints


class PostFilter:
    """The filters of one kind of frame.

    Args:
        weights: int16 ``[2, 6, 16, 9, 24]``: luma and chroma, range of qualities, activity,
            direction, weight; in ``2**-8``.
        levels: int32 ``[64, 15]``, ascending: where the next activity begins, for every quality.
        bounds: int32 ``[64, 16]``: to what differences are clipped, for every quality and activity.

    Raises:
        ValueError: if shapes are others, the weights of a filter sum to ``2**15`` or more, or a
            bound is negative.
    """

    def __init__(self, weights: ArrayLike, levels: ArrayLike, bounds: ArrayLike) -> None:
        w, self._levels = np.asarray(weights, np.int32), np.asarray(levels, np.int32)
        self._bounds = np.asarray(bounds, np.float32)
        if w.shape != (PARTS, RANGES, ACTIVITIES, DIRECTIONS, WEIGHTS):
            raise ValueError(f"post-filter weights of shape {w.shape}")
        if self._levels.shape != (QUALITIES, ACTIVITIES - 1):
            raise ValueError(f"post-filter levels of shape {self._levels.shape}")
        if self._bounds.shape != (QUALITIES, ACTIVITIES) or self._bounds.min() < 0:
            raise ValueError(f"post-filter bounds of shape {self._bounds.shape}, or negative")
        if np.abs(w).sum(-1).max() >= _SUM_LIMIT:
            raise ValueError("post-filter weights are too large")
        turned = np.empty((WEIGHTS, *w.shape[:-1], len(TURNED)), np.float32)
        for turn, order in enumerate(TURNED):
            turned[order, ..., turn] = np.moveaxis(w, -1, 0)
        self._weights = turned

    def filtered(self, plane: Samples, part: int, quality: int) -> FilteredPlane:
        """Filter a plane, as if everything were switched on.

        Args:
            plane: ``[H, W]``, sides multiples of 4.
            part: 0 for luma, 1 for chroma.
            quality: index of the frame.
        """
        activity, direction, turn = classes(plane, self._levels[quality])
        filters = self._weights[:, part, quality * RANGES // QUALITIES]
        weights = torch.from_numpy(filters[:, activity, direction, turn])
        near = Neighbourhood(plane, self._bounds[quality][activity])
        after = np.empty(plane.shape, np.uint8)
        for top in range(0, len(plane), _ROWS):
            rows = slice(top, min(top + _ROWS, len(plane)))
            w = weights[:, top // _BLOCK : rows.stop // _BLOCK, None]
            for column in range(_BLOCK):
                middle = near.middle(rows, column)
                total = torch.full_like(middle, 0.5)
                for tap, (plain, clipped) in enumerate(near.differences(rows, column)):
                    total.addcmul_(plain, w[tap], value=2.0**-_SHIFT)
                    total.addcmul_(clipped, w[TAPS + tap], value=2.0**-_SHIFT)
                made = total.floor_().add_(middle).clamp_(0, 255).to(torch.uint8)
                after[rows, column::_BLOCK] = made.flatten(0, 1).numpy()
        return FilteredPlane(plane, after, activity)


class Neighbourhood:
    """What the filters weigh, for every fourth column of a plane.

    Args:
        plane: uint8 ``[H, W]``, sides multiples of 4.
        bounds: of its blocks, float32 ``[H / 4, W / 4]``.
    """

    def __init__(self, plane: Samples, bounds: NDArray[np.float32]) -> None:
        padded = np.pad(plane, ((_REACH, _REACH), (_BLOCK, _BLOCK)), "edge").astype(np.float32)
        self._columns = [
            torch.from_numpy(np.ascontiguousarray(padded[:, c::_BLOCK])) for c in range(_BLOCK)
        ]
        self._width = plane.shape[1] // _BLOCK
        self._bounds = torch.from_numpy(bounds)[:, None]

    def _shifted(self, rows: slice, column: int) -> Tensor:
        """Rows and every fourth column from ``column`` on, by block: ``[h, 4, W / 4]``."""
        left = 1 + column // _BLOCK
        where = slice(rows.start + _REACH, rows.stop + _REACH), slice(left, left + self._width)
        return self._columns[column % _BLOCK][where].view(-1, _BLOCK, self._width)

    def middle(self, rows: slice, column: int) -> Tensor:
        """The samples themselves, float32 ``[h, 4, W / 4]``, for ``4 h`` rows and column 0..3."""
        return self._shifted(rows, column)

    def differences(self, rows: slice, column: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each tap in turn, what its two samples differ from the middle one, summed: as it is,
        and clipped before; float32 integers of the shape of :meth:`middle`."""
        middle = self.middle(rows, column)
        high = self._bounds[rows.start // _BLOCK : rows.stop // _BLOCK]
        low = -high
        for i, j in _OFFSETS:
            one, other = (
                self._shifted(slice(rows.start + s * i, rows.stop + s * i), column + s * j) - middle
                for s in (1, -1)
            )
            plain = one + other
            yield plain, one.clamp_(low, high).add_(other.clamp_(low, high))


def _blocks(samples: NDArray[np.int16]) -> Ints:
    """Sums over a 4x4 block, twice, and over the four blocks beside it."""
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
        levels: where the next activity begins, ``[15]``.
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


def merge(plane: FilteredPlane, switches: int) -> Samples:
    """Filtered where bit ``a // 2`` of ``switches`` is set for the block's activity a."""
    if not switches:
        return plane.before
    on = (switches >> plane.activity // 2 & 1).astype(bool)
    return np.where(on.repeat(4, 0).repeat(4, 1), plane.after, plane.before)


def shown(planes: Sequence[FilteredPlane], filters: tuple[int, int]) -> list[Samples]:
    """Y, U and V, filtered by the switches of luma and those of chroma."""
    switches = (filters[0], filters[1], filters[1])
    return [merge(plane, on) for plane, on in zip(planes, switches, strict=True)]


def useful(planes: list[FilteredPlane], targets: list[Samples]) -> int:
    """The switches, eight bits, that bring planes nearest to their targets.

    Args:
        planes: those that share their switches.
        targets: of each, uint8 ``[H', W']`` with H' <= H and W' <= W.
    """
    won = np.zeros(SWITCHES)
    for plane, target in zip(planes, targets, strict=True):
        height, width = target.shape
        before, after = (
            p[:height, :width].astype(np.int16) - target for p in (plane.before, plane.after)
        )
        gained = np.zeros(plane.before.shape, np.int32)
        # before² - after²
        np.multiply(before - after, before + after, gained[:height, :width], dtype=np.int32)
        rows, columns = plane.activity.shape
        blocks = gained.reshape(rows, 4, -1).sum(1).reshape(rows, columns, 4).sum(2)
        won += np.bincount((plane.activity // 2).ravel(), blocks.ravel(), SWITCHES)
    return sum(1 << a for a in range(SWITCHES) if won[a] > 0)
