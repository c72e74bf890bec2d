"""Choice of the two bit-widths of a frame from the features of its regions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roicodec.roi.features import FEATURES, Features
from roicodec.roi.masks import Mask

__all__ = [
    "PLAIN",
    "BitWidthSelector",
    "LinearSelector",
    "hand_set_selector",
    "plain_bit_width",
]

PLAIN = 8
"""The bit-width of a frame without ROI, where it is a candidate."""


class BitWidthSelector(Protocol):
    """Picks the bit-widths of ROI and non-ROI among the stream's candidates."""

    def choose(self, features: Features, mask: Mask, *, inter: bool) -> tuple[int, int]:
        """(b_roi, b_bg) of a frame.

        Args:
            features: of ROI and non-ROI, float64 ``[2, 10]`` (``region_features``).
            mask: the frame's ROI, bool ``[ceil(H/16), ceil(W/16)]``.
            inter: whether the frame has a reference; only then may b_bg be 0 (skip).
        """


class LinearSelector:
    """One fully connected layer R^10 -> R^K a region, and argmax over its K candidates.

    A frame without ROI gets the plain bit-width for both regions; one that is all ROI gets b_roi
    for both. Candidate 0 is never chosen for the ROI, nor in intra frames.

    Args:
        candidates: K bit-widths, ascending; 0 is skip.
        weights: ``[2, K, 10]``, of the ROI's layer and the non-ROI's.
        bias: ``[2, K]``.
        mean, scale: ``[10]``: features enter as ``(feature - mean) / scale``.

    Raises:
        ValueError: if shapes do not fit each other, or a scale is not positive.
    """

    def __init__(
        self,
        candidates: Sequence[int],
        weights: ArrayLike,
        bias: ArrayLike,
        mean: ArrayLike,
        scale: ArrayLike,
    ) -> None:
        size, count = len(FEATURES), len(candidates)
        self.candidates = tuple(candidates)
        self.weights = np.asarray(weights, np.float64)
        self.bias = np.asarray(bias, np.float64)
        self.mean = np.asarray(mean, np.float64)
        self.scale = np.asarray(scale, np.float64)
        if self.weights.shape != (2, count, size) or self.bias.shape != (2, count):
            raise ValueError(f"a selector of {count} candidates needs weights [2, {count}, {size}]")
        if self.mean.shape != (size,) or self.scale.shape != (size,) or (self.scale <= 0).any():
            raise ValueError(f"mean and scale must have {size} entries, scale above 0")

    def scores(self, features: Features) -> NDArray[np.float64]:
        """Outputs of the layers, ``[2, K]``, for features ``[2, 10]``."""
        normalized = (features - self.mean) / self.scale
        return np.asarray(np.einsum("rkf,rf->rk", self.weights, normalized) + self.bias)

    def choose(self, features: Features, mask: Mask, *, inter: bool) -> tuple[int, int]:
        if not mask.any():
            plain = plain_bit_width(self.candidates)
            return plain, plain
        scores = self.scores(features)
        skip = np.array(self.candidates) == 0
        scores[0, skip] = -np.inf
        if not inter:
            scores[1, skip] = -np.inf
        b_roi, b_bg = (self.candidates[best] for best in scores.argmax(1))
        return b_roi, b_roi if mask.all() else b_bg


def plain_bit_width(candidates: Sequence[int]) -> int:
    """8, or the candidate other than 0 that is nearest to it (the higher of two as near)."""
    return min((b for b in candidates if b), key=lambda b: (abs(b - PLAIN), -b))


def hand_set_selector(candidates: Sequence[int]) -> LinearSelector:
    """A first rule, set by hand, in the form of the layer that will be trained.

    Activity of a region is a weighted mean of its normalized features, mostly of luma gradient
    and deviation. The ROI gets the most bits, or 8 when it is almost flat and still. The rest gets
    8, or the candidate next below, and is skipped when almost flat and still.
    """
    return LinearSelector(
        candidates,
        weights=np.stack([_lines(candidates, roi)[0] for roi in (True, False)]),
        bias=np.stack([_lines(candidates, roi)[1] for roi in (True, False)]),
        mean=_MEAN,
        scale=_SCALE,
    )


# Over 170 frames of training clips (automatic ROI, flow averaged on 8x8 blocks), rounded.
_MEAN = (44, 10, 9.5, 7.5, 1.9, 1.7, 1.7, 1.0, 0.4, 0.25)
_SCALE = (11.5, 5.5, 5.5, 4, 1.3, 1.3, 2.7, 1.5, 0.5, 0.3)
_ACTIVITY = (0.2, 0, 0, 0.4, 0.1, 0.1, 0.1, 0.1, 0, 0)
_ALWAYS, _CALM, _NEVER = -100.0, -1.2, 100.0


def _lines(candidates: Sequence[int], roi: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights ``[K, 10]`` and bias ``[K]``: candidate k scores k·activity - (t_1 + … + t_k).

    So it is the best one between the activities t_k and t_(k+1) if they ascend, and never if not.
    """
    steps = [0.0]
    for lower, upper in pairwise(candidates):
        if upper > PLAIN:
            steps.append(_CALM if roi else _NEVER)
        elif lower == 0 and not roi:
            # The plain line crosses that of skip where the widths between them are not chosen.
            between = sum(0 < b <= PLAIN for b in candidates)
            steps.append(between * _CALM - (between - 1) * _ALWAYS)
        else:
            steps.append(_ALWAYS)
    order = np.arange(len(candidates), dtype=np.float64)
    return np.outer(order, _ACTIVITY), -np.cumsum(steps)
