"""Choice of the two bit-widths of a frame from the features of its regions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roicodec.bitstream.masks import Mask
from roicodec.encoder.roi.features import FEATURES, Features

__all__ = [
    "PLAIN",
    "QUALITY_OFFSETS",
    "BitWidthSelector",
    "LinearSelector",
    "SizedSelector",
    "fitted_selector",
    "layer_name",
    "log_features",
    "plain_bit_width",
    "quality_offsets",
]

PLAIN = 8
"""The bit-width of a frame without ROI, where it is a candidate."""


_LEAST = 0.05
"""Levels, or samples of motion, below which features are as good as 0."""

_SMALL, _SURE = 0.1, 0.01
"""Share of the frame below which a ROI is small, and how far from it the share must be to say so
anew."""
_LOWEST = 4
_OWN_SHARE = 0.1

QUALITY_OFFSETS = {0: 0, 2: -17, 3: -14, 4: -11, 5: -8, 6: -6, 7: -3, 8: 0, 16: 17}
"""Quality offset of a region at each bit-width: fewer bits of arithmetic, coarser latents."""


class BitWidthSelector(Protocol):
    """Choice of the bit-widths of ROI and non-ROI among the stream's candidates."""

    def choose(self, features: Features, mask: Mask, *, inter: bool) -> tuple[int, int]:
        """(b_roi, b_bg) of a frame.

        Args:
            features: of ROI and non-ROI, float64 ``[2, 10]`` (``region_features``).
            mask: the frame's ROI, bool ``[ceil(H/16), ceil(W/16)]``.
            inter: whether the frame has a reference; only then may b_bg be 0 (skip).
        """


class LinearSelector:
    """One fully connected layer R^10 -> R^K a region and kind of frame; argmax over K candidates.

    A frame without ROI gets the plain bit-width for both regions; one that is all ROI gets b_roi
    for both. Candidate 0 is never chosen for the ROI, nor in intra frames.

    Args:
        candidates: K bit-widths, ascending; 0 is skip.
        weights: ``[2, 2, K, 10]``, of intra and inter frames; of the ROI's layer and the rest's.
        bias: ``[2, 2, K]``.
        mean, scale: ``[10]``: features enter as ``(log_features - mean) / scale``.
        price: ``[K]``, taken off the scores: what a candidate's arithmetic costs.

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
        price: ArrayLike = 0.0,
    ) -> None:
        size, count = len(FEATURES), len(candidates)
        self.candidates = tuple(candidates)
        self.weights = np.asarray(weights, np.float64)
        self.bias = np.asarray(bias, np.float64)
        self.mean = np.asarray(mean, np.float64)
        self.scale = np.asarray(scale, np.float64)
        self.price = np.broadcast_to(np.asarray(price, np.float64), count)
        if self.weights.shape != (2, 2, count, size) or self.bias.shape != (2, 2, count):
            raise ValueError(
                f"a selector of {count} candidates needs weights [2, 2, {count}, {size}]"
            )
        if self.mean.shape != (size,) or self.scale.shape != (size,) or (self.scale <= 0).any():
            raise ValueError(f"mean and scale must have {size} entries, scale above 0")

    def scores(self, features: Features, *, inter: bool) -> NDArray[np.float64]:
        """Outputs of the layers, ``[2, K]``, for features ``[2, 10]``."""
        normalized = (log_features(features) - self.mean) / self.scale
        kind = int(inter)
        return np.asarray(np.einsum("rkf,rf->rk", self.weights[kind], normalized) + self.bias[kind])

    def choose(self, features: Features, mask: Mask, *, inter: bool) -> tuple[int, int]:
        if not mask.any():
            plain = plain_bit_width(self.candidates)
            return plain, plain
        scores = self.scores(features, inter=inter) - self.price
        skip = np.array(self.candidates) == 0
        scores[0, skip] = -np.inf
        if not inter:
            scores[1, skip] = -np.inf
        b_roi, b_bg = (self.candidates[best] for best in scores.argmax(1))
        return b_roi, b_roi if mask.all() else b_bg


class SizedSelector:
    """A selector for one video, by which the rest goes one candidate lower where the ROI is small.

    The smaller the ROI, the more its samples weigh beside the others, and the further apart the
    qualities must be: 16 and 4 bits instead of 16 and 8. What counts is the share of the frame
    averaged since the intra frame, since bit-widths that alternate cost more than either.

    Args:
        selector: chooses for a ROI that is not small.
        candidates: bit-widths, ascending; the rest does not get less than 4 by its step.
    """

    def __init__(self, selector: BitWidthSelector, candidates: Sequence[int]) -> None:
        self.selector = selector
        self._candidates = tuple(candidates)
        self._share: float | None = None
        self._small = False

    def choose(self, features: Features, mask: Mask, *, inter: bool) -> tuple[int, int]:
        b_roi, b_bg = self.selector.choose(features, mask, inter=inter)
        if not mask.any() or mask.all():
            return b_roi, b_bg
        share = float(mask.mean())
        if self._share is None or not inter:
            self._share, self._small = share, share < _SMALL
        self._share += _OWN_SHARE * (share - self._share)
        self._small = self._share < _SMALL + (_SURE if self._small else -_SURE)
        lower = [b for b in self._candidates if _LOWEST <= b < b_bg]
        return (b_roi, lower[-1]) if self._small and lower and b_bg < b_roi else (b_roi, b_bg)


def log_features(features: Features) -> Features:
    """Features on a scale on which their ratios count: hardly any motion is far from none at all.

    Args:
        features: of any shape, at least 0.
    """
    return np.asarray(np.log(_LEAST + features))


def plain_bit_width(candidates: Sequence[int]) -> int:
    """8, or the candidate other than 0 that is nearest to it (the higher of two as near)."""
    return min((b for b in candidates if b), key=lambda b: (abs(b - PLAIN), -b))


def quality_offsets(candidates: Sequence[int], strength: float) -> dict[int, int]:
    """Quality offset of a region at each candidate, from that of the plain bit-width.

    Args:
        candidates: bit-widths of :data:`QUALITY_OFFSETS`.
        strength: 0..2, what the offsets are multiplied by.
    """
    plain = QUALITY_OFFSETS[plain_bit_width(candidates)]
    return {b: round(strength * (QUALITY_OFFSETS[b] - plain)) for b in candidates}


@cache
def _fitted() -> dict[str, dict[str, NDArray[np.float64]]]:
    text = files("roicodec.encoder.roi").joinpath("selector.json").read_text(encoding="utf-8")
    return {
        most: {name: np.array(values) for name, values in layer.items()}
        for most, layer in json.loads(text).items()
    }


def layer_name(candidates: Sequence[int]) -> str:
    """Name of the fitted layer for a candidate set: that of up to 16 bits, or of up to 8.

    Fitted separately per set: the best choice for one region depends on the options of the other.
    """
    return "16" if 16 in candidates else "8"


def fitted_selector(candidates: Sequence[int], price: ArrayLike = 0.0) -> LinearSelector:
    """The layer that was fitted to measured costs.

    Scores are the shares of a region's cost that a bit-width saves against 8 (``docs/roi.md``).

    Args:
        candidates: bit-widths of :data:`QUALITY_OFFSETS`, ascending.
        price: share of a region's cost that the arithmetic of each candidate is worth, ``[K]``.
    """
    layer = _fitted()[layer_name(candidates)]
    chosen = [layer["bits"].tolist().index(b) for b in candidates]
    return LinearSelector(
        candidates,
        layer["weights"][:, :, chosen],
        layer["bias"][:, :, chosen],
        layer["mean"],
        layer["scale"],
        price,
    )
