"""Quality maps: which cells of a frame get more bits than others of their region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import CELL, MAP_LIMIT, MAP_STEP
from roicodec.bitstream.masks import Mask
from roicodec.bitstream.quality_map import QualityMap
from roicodec.decoder.planes import padded
from roicodec.picture import Picture

__all__ = ["by_activity", "by_importance", "by_shortfall", "quality_map", "steadied"]

_ACTIVITY = 1.0
"""Steps of the map for each doubling of a cell's variance, as x264 and x265 have it."""
_SLACK = 1
"""Steps by which an offset may be another one than wanted, if it takes no bits then."""

_QUIET = 2.0
"""Variance, in squared sample values, that is as good as none."""

Steps = NDArray[np.float64]
"""Wanted offsets in steps of the quality map, float64 ``[Hp/16, Wp/16]`` or of the unpadded
frame."""


def by_activity(picture: Picture) -> Steps:
    """Finer where little goes on: errors are hidden by activity, and seen on even ground.

    What SSIM measures, too: it divides the squared error by the variance around (Wang et al., IEEE
    Trans. Image Processing 13(4), 2004, equation 13).

    Args:
        picture: to encode.
    """
    luma = padded(picture)[0].astype(np.float32)
    rows, columns = (side // CELL for side in luma.shape)
    half = CELL // 2
    blocks = luma.reshape(2 * rows, half, 2 * columns, half)
    variance = blocks.var((1, 3)).reshape(rows, 2, columns, 2).mean((1, 3))
    return np.asarray(-_ACTIVITY * np.log2(variance.astype(np.float64) + _QUIET))


def by_importance(importance: NDArray[np.float64], strength: float) -> Steps:
    """Finer where later frames lean on a cell.

    Args:
        importance: of :func:`roicodec.encoder.tree.importance`.
        strength: steps for each doubling.
    """
    return np.asarray(strength * np.log2(importance))


def by_shortfall(mask: Mask, indices: int) -> Steps:
    """Finer in the ROI, where the frame as a whole must be coarser than it was wanted.

    Args:
        mask: ROI, bool of the unpadded frame.
        indices: by which the frame is coarser.
    """
    return np.where(mask, indices / MAP_STEP, 0.0)


def quality_map(
    shape: tuple[int, int], relative: Sequence[Steps], grades: Steps | None = None
) -> QualityMap | None:
    """The map that says all of this; None if it is flat.

    Args:
        shape: of the map, (ceil(H/16), ceil(W/16)).
        relative: whose sum is taken less its mean: the frame's index stays what it is.
        grades: added as they are, of the map's shape; None for none.
    """
    total = np.zeros(shape)
    for steps in relative:
        total += steps[: shape[0], : shape[1]]
    total -= total.mean()
    if grades is not None:
        total += grades
    found = np.clip(np.rint(total), -MAP_LIMIT, MAP_LIMIT).astype(np.int8)
    return found if found.any() else None


def steadied(wanted: QualityMap | None, before: QualityMap, *, kept: bool) -> QualityMap:
    """A map that changes that of the past reference where it must, since every change takes bits.

    Args:
        wanted: for the frame; None for a flat one.
        before: the past reference's.
        kept: whether others refer to the frame; a leaf, most of which is skipped, changes nothing.
    """
    if not kept:
        return before
    own = np.zeros_like(before) if wanted is None else wanted
    return np.where(np.abs(own.astype(np.int16) - before) <= _SLACK, before, own)
