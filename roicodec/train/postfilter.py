"""Least-squares fit of the post-filters to pictures that were decoded without them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import QUALITIES, QUANTIZER_STEPS
from roicodec.decoder.post_filter import PARTS, RANGES
from roicodec.kernels.post_filter import (
    ACTIVITIES,
    DIRECTIONS,
    TURNED,
    WEIGHTS,
    classes,
    differences,
)
from roicodec.picture import Picture

__all__ = ["PostFilterFit", "activity_levels", "difference_bounds", "no_post_filter",
           "post_filter"]  # fmt: skip

_ACTIVITY = 0.02 * 2 ** (0.5 * np.arange(15))
"""Lower bounds of the activities but the first: mean magnitude of second differences, in
quantizer steps."""
_SAMPLES = 192
"""Number of second differences in the sum of an activity, with repetitions."""
_BOUND = 0.12
"""Clipping bound of differences at the middle activity, in quantizer steps."""
_REACH = 1.5
"""Half-width of the triangular weight of a frame around a range of qualities, in ranges."""
_RIDGE = 3e-3
"""Ridge: share of each term's energy that is added to the diagonal of the normal equations."""
_UNIT = 256
"""Weights count in ``1 / 256``."""
_LARGEST = 4 * _UNIT
"""Limit of a weight's magnitude."""

Arrays = dict[str, NDArray[np.generic]]


def activity_levels() -> NDArray[np.int32]:
    """Lower bounds of the activities at every quality, int32 ``[64, 15]``."""
    return np.asarray(np.rint(_SAMPLES * QUANTIZER_STEPS[:, None] * _ACTIVITY), np.int32)


def difference_bounds() -> NDArray[np.int32]:
    """Clipping bounds of differences at every quality and activity, int32 ``[64, 16]``."""
    usual = 2.0 ** ((np.arange(ACTIVITIES) - 7) / 4)
    return np.asarray(np.rint(_BOUND * QUANTIZER_STEPS[:, None] * usual).clip(1), np.int32)


def post_filter(intra: NDArray[np.int16], inter: NDArray[np.int16]) -> Arrays:
    """Arrays of the post-filter's file.

    Args:
        intra, inter: weights, int16 ``[2, 6, 16, 9, 24]``.
    """
    weights = {"intra.weight": intra, "inter.weight": inter}
    return {**weights, "levels": activity_levels(), "bounds": difference_bounds()}


def no_post_filter() -> Arrays:
    """Arrays of a post-filter that changes nothing."""
    weights = np.zeros((PARTS, RANGES, ACTIVITIES, DIRECTIONS, WEIGHTS), np.int16)
    return post_filter(weights, weights.copy())


class PostFilterFit:
    """Fit of the filters of one frame type.

    Each plane is weighted by the reciprocal of its squared error, so that the gain is in decibels.
    """

    def __init__(self) -> None:
        shape = (PARTS, RANGES, ACTIVITIES, DIRECTIONS)
        self._gram = np.zeros((*shape, WEIGHTS, WEIGHTS))
        self._goal = np.zeros((*shape, WEIGHTS))
        self._levels, self._bounds = activity_levels(), difference_bounds()

    def add(self, reconstruction: Picture, original: Picture, quality: int) -> None:
        """Next picture of the fit.

        Args:
            reconstruction: without post-filter.
            original: the picture itself.
            quality: quality index of the frame, 0..63.
        """
        for plane, target, part in zip(
            reconstruction.planes, original.planes, (0, 1, 1), strict=True
        ):
            height, width = (n // 4 * 4 for n in plane.shape)
            self._add(plane[:height, :width], target[:height, :width], part, quality)

    def _add(
        self, plane: NDArray[np.uint8], target: NDArray[np.uint8], part: int, quality: int
    ) -> None:
        error = target.astype(np.float64) - plane
        energy = np.square(error).sum()
        if not energy:
            return
        activity, direction, turn = classes(plane, self._levels[quality])
        place = quality * RANGES / QUALITIES - 0.5
        near = np.clip(1 - np.abs(place - np.arange(RANGES)) / _REACH, 0, None) / energy
        bounds = self._bounds[quality][activity]
        group = ((activity * DIRECTIONS + direction) * len(TURNED) + turn).repeat(4, 0).ravel()
        order = np.argsort(group, kind="stable")
        found, start = np.unique(group[order], return_index=True)
        for column in range(4):
            pairs = list(differences(plane, bounds, slice(0, len(plane)), column))
            terms = np.stack([np.stack(pair) for pair in zip(*pairs, strict=True)])
            x = terms.reshape(WEIGHTS, -1)[:, order].astype(np.float64)
            wanted = error[:, column::4].ravel()[order]
            parts = zip(np.split(x, start[1:], 1), np.split(wanted, start[1:]), strict=True)
            for which, (x_c, wanted_c) in zip(found, parts, strict=True):
                rest, of_turn = divmod(int(which), len(TURNED))
                where = (part, slice(None), *divmod(rest, DIRECTIONS))
                turned = x_c[TURNED[of_turn]]
                self._gram[where] += near[:, None, None] * (turned @ turned.T)
                self._goal[where] += near[:, None] * (turned @ wanted_c)

    def weights(self) -> NDArray[np.int16]:
        """Weights of the filters, int16 ``[2, 6, 16, 9, 24]``
        (:class:`~roicodec.decoder.post_filter.PostFilter`)."""
        own = np.diagonal(self._gram, axis1=-2, axis2=-1)[..., None] * np.eye(WEIGHTS)
        solved = np.linalg.solve(
            self._gram + _RIDGE * own + 1e-9 * np.eye(WEIGHTS), self._goal[..., None]
        )
        weights = np.clip(np.rint(_UNIT * solved[..., 0]), -_LARGEST, _LARGEST)
        return np.asarray(weights, np.int16)
