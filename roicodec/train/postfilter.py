"""Post-filters by least squares, from pictures that were decoded without them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from roicodec.model.networks import QUALITIES, quantizer_step
from roicodec.model.postfilter import (
    ACTIVITIES,
    DIRECTIONS,
    PARTS,
    RANGES,
    TAPS,
    TURNED,
    classes,
    differences,
)
from roicodec.picture import Picture

__all__ = ["PostFilterFit", "activity_levels", "no_post_filter"]

_ACTIVITY = 0.02 * 2 ** (0.5 * np.arange(15))
"""Where the next begins: mean magnitude of second differences, in quantizer steps."""
_SAMPLES = 192
"""Second differences that an activity sums, each counted as often as it is."""
_REACH = 1.5
"""Lengths of a range of qualities within which a frame counts, ever less."""
_RIDGE = 1e-2
_UNIT = 256
_LARGEST = 4 * _UNIT

Arrays = dict[str, NDArray[np.generic]]


def activity_levels() -> NDArray[np.int32]:
    """Where activities begin at every quality, ``[64, 15]``."""
    steps = quantizer_step(torch.arange(QUALITIES)).double().numpy()
    return np.asarray(np.rint(_SAMPLES * steps[:, None] * _ACTIVITY), np.int32)


def no_post_filter() -> Arrays:
    """The file of a post-filter that changes nothing."""
    weights = np.zeros((PARTS, RANGES, ACTIVITIES, DIRECTIONS, TAPS), np.int16)
    return {"intra.weight": weights, "inter.weight": weights.copy(), "levels": activity_levels()}


class PostFilterFit:
    """Collects pictures of one kind of frame, and fits its filters to them.

    Every plane weighs one over its squared error: what the filters win is decibels.
    """

    def __init__(self) -> None:
        shape = (PARTS, RANGES, ACTIVITIES, DIRECTIONS)
        self._gram = np.zeros((*shape, TAPS, TAPS))
        self._goal = np.zeros((*shape, TAPS))
        self._levels = activity_levels()

    def add(self, made: Picture, original: Picture, quality: int) -> None:
        """Learn from a picture that was decoded without a post-filter.

        Args:
            made: the decoded picture.
            original: of the same size.
            quality: index of the frame, 0..63.
        """
        for plane, target, part in zip(made.planes, original.planes, (0, 1, 1), strict=True):
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
        taps = np.stack(list(differences(plane)), -1).astype(np.float32)
        turns, of = (a.repeat(4, 0).repeat(4, 1) for a in (turn, activity * DIRECTIONS + direction))
        turned = np.take_along_axis(taps, TURNED[turns], -1)
        place = quality * RANGES / QUALITIES - 0.5
        near = np.clip(1 - np.abs(place - np.arange(RANGES)) / _REACH, 0, None) / energy
        for which in np.unique(of):
            at = of == which
            x = turned[at].astype(np.float64)
            where = (part, slice(None), *divmod(int(which), DIRECTIONS))
            self._gram[where] += near[:, None, None] * (x.T @ x)
            self._goal[where] += near[:, None] * (x.T @ error[at])

    def weights(self) -> NDArray[np.int16]:
        """The filters, int16 ``[2, 4, 16, 9, 12]``, as
        :class:`~roicodec.model.postfilter.PostFilter` takes them."""
        ridge = np.trace(self._gram, axis1=-2, axis2=-1)[..., None, None] / TAPS * np.eye(TAPS)
        solved = np.linalg.solve(
            self._gram + _RIDGE * ridge + 1e-9 * np.eye(TAPS), self._goal[..., None]
        )
        weights = np.clip(np.rint(_UNIT * solved[..., 0]), -_LARGEST, _LARGEST)
        return np.asarray(weights, np.int16)
