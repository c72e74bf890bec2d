"""Post-filter: removes ringing and jagged edges from the output picture, outside the loop.

Each 4x4 block of a plane has a class, by its activity against the quantizer step and by the
direction of its edges, as in the adaptive loop filter of VVC (Karczewicz et al., IEEE Trans.
Circuits and Systems for Video Technology 31(10), 2021, section V); each class has a filter
fitted to training clips, as in RAISR (Romano, Isidoro and Milanfar, IEEE Trans. Computational
Imaging 3(1), 2017). A filter has two weights for each difference of a neighbour from the sample,
one for the difference itself and one for the clipped difference (nonlinear adaptive loop filter;
Taquet et al., JVET-N0242, 2019), which distinguishes noise from edges::

    planes -> classes -> filtered -> switched on or off, by activity -> picture
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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roicodec.bitstream.constants import QUALITIES
from roicodec.kernels.post_filter import (
    ACTIVITIES,
    ALL_ON,
    DIRECTIONS,
    SWITCHES,
    WEIGHTS,
    filter_plane,
    filter_table,
    merge,
    squared_gains,
)

__all__ = ["PARTS", "RANGES", "FilteredPlane", "PostFilter", "merged", "useful"]

PARTS = 2
"""Number of filter sets: luma and chroma."""
RANGES = 6
"""Number of equal ranges of quality indices."""

_SUM_LIMIT = 1 << 15
"""Limit of the sum of a filter's absolute weights, so that its sums of 510 times each and the
rounding stay below ``2**24``."""

Ints = NDArray[np.int32]
Samples = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class FilteredPlane:
    """A plane without and with post-filter.

    Attributes:
        before, after: samples, uint8 ``[H, W]``.
        activity: of each 4x4 block, 0..15, uint8 ``[H / 4, W / 4]``.
    """

    before: Samples
    after: Samples
    activity: NDArray[np.uint8]


class PostFilter:
    """The filters of one frame type.

    Args:
        weights: in ``2**-8``, int16 ``[2, 6, 16, 9, 24]``: luma and chroma, range of qualities,
            activity, direction, weight.
        levels: lower bounds of the activities but the first, by quality, ascending, int32
            ``[64, 15]``.
        bounds: clipping bounds of differences, by quality and activity, int32 ``[64, 16]``.

    Raises:
        ValueError: if a shape is wrong, the absolute weights of a filter sum to ``2**15`` or more,
            or a bound is negative.
    """

    def __init__(self, weights: ArrayLike, levels: ArrayLike, bounds: ArrayLike) -> None:
        w = np.asarray(weights, np.int32)
        self._levels = np.ascontiguousarray(levels, np.int32)
        self._bounds = np.ascontiguousarray(bounds, np.int32)
        if w.shape != (PARTS, RANGES, ACTIVITIES, DIRECTIONS, WEIGHTS):
            raise ValueError(f"post-filter weights of shape {w.shape}")
        if self._levels.shape != (QUALITIES, ACTIVITIES - 1):
            raise ValueError(f"post-filter levels of shape {self._levels.shape}")
        if self._bounds.shape != (QUALITIES, ACTIVITIES) or self._bounds.min() < 0:
            raise ValueError(f"post-filter bounds of shape {self._bounds.shape}, or negative")
        if np.abs(w).sum(-1).max() >= _SUM_LIMIT:
            raise ValueError("post-filter weights are too large")
        self._tables = [[filter_table(filters) for filters in part] for part in w]

    def filtered(self, plane: Samples, part: int, quality: int) -> FilteredPlane:
        """A plane with all switches on.

        Args:
            plane: ``[H, W]``, sides multiples of 4.
            part: 0 for luma, 1 for chroma.
            quality: quality index of the frame, 0..63.
        """
        return FilteredPlane(plane, *self._filtered(plane, part, quality, ALL_ON))

    def shown(
        self, planes: Sequence[Samples], quality: int, filters: tuple[int, int]
    ) -> list[Samples]:
        """Y, U and V, filtered by switches; a plane without any is returned itself.

        Args:
            planes: uint8 ``[H, W]`` and twice ``[H / 2, W / 2]``.
            quality: quality index of the frame, 0..63.
            filters: switches of luma and of chroma, a bit for each pair of activities.
        """
        switched = zip(planes, (0, 1, 1), strict=True)
        return [
            self._filtered(plane, part, quality, filters[part])[0] if filters[part] else plane
            for plane, part in switched
        ]

    def _filtered(
        self, plane: Samples, part: int, quality: int, switches: int
    ) -> tuple[Samples, NDArray[np.uint8]]:
        table = self._tables[part][quality * RANGES // QUALITIES]
        return filter_plane(plane, table, self._levels[quality], self._bounds[quality], switches)


def merged(planes: Sequence[FilteredPlane], filters: tuple[int, int]) -> list[Samples]:
    """Y, U and V, filtered by switches.

    Args:
        planes: with and without post-filter.
        filters: switches of luma and of chroma.
    """
    switches = (filters[0], filters[1], filters[1])
    return [
        merge(plane.before, plane.after, plane.activity, on) if on else plane.before
        for plane, on in zip(planes, switches, strict=True)
    ]


def useful(planes: list[FilteredPlane], targets: list[Samples]) -> int:
    """Switches, eight bits, of least squared error.

    Args:
        planes: planes that share their switches.
        targets: original of each, uint8 ``[H', W']`` with H' <= H and W' <= W.
    """
    gains = np.zeros(SWITCHES, np.int64)
    for plane, target in zip(planes, targets, strict=True):
        gains += squared_gains(plane.before, plane.after, plane.activity, target)
    return sum(1 << a for a in range(SWITCHES) if gains[a] > 0)
