"""Agreement of a saliency map with fixations or with an object's outline.

Definitions after Z. Bylinskii et al., "What do different evaluation metrics tell us about saliency
models?", TPAMI 2019, section 4. Maps are float ``[H, W]``; fixations are bool ``[H, W]``, true
where somebody looked; densities and masks are of the same size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["auc_judd", "cc", "iou", "kld", "nss", "scores", "sim", "top_share"]

Map = NDArray[np.floating | np.integer]
Mask = NDArray[np.bool_]

_EPSILON = float(np.finfo(np.float64).eps)


def cc(saliency: Map, density: Map) -> float:
    """Linear correlation, -1..1; 0 when one of the maps is constant."""
    a, b = (np.asarray(m, np.float64).ravel() - np.mean(m, dtype=np.float64)
            for m in (saliency, density))  # fmt: skip
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread > 0 else 0.0


def nss(saliency: Map, fixations: Mask) -> float:
    """Normalized scanpath saliency: the mean over fixated samples, in standard deviations.

    Raises:
        ValueError: if there is no fixation.
    """
    _check_fixations(fixations)
    values = np.asarray(saliency, np.float64)
    spread = float(values.std())
    return float((values[fixations].mean() - values.mean()) / spread) if spread > 0 else 0.0


def auc_judd(saliency: Map, fixations: Mask) -> float:
    """Area under the ROC curve with thresholds at the values of fixated samples, 0..1.

    At each threshold: share of the fixated samples at or above it, against that of all others.

    Raises:
        ValueError: if there is no fixation, or nothing else.
    """
    _check_fixations(fixations)
    if fixations.all():
        raise ValueError("every sample is fixated: there is nothing to tell them from")
    hits, others = np.sort(saliency[fixations]), np.sort(saliency[~fixations])
    thresholds = np.unique(hits)[::-1]
    true, false = (
        np.concatenate(([0.0], 1 - np.searchsorted(v, thresholds) / len(v), [1.0]))
        for v in (hits, others)
    )
    return float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))


def sim(saliency: Map, density: Map) -> float:
    """Similarity: what two maps, each of sum 1, have in common, 0..1."""
    return float(np.minimum(_normalized(saliency), _normalized(density)).sum())


def kld(saliency: Map, density: Map) -> float:
    """Kullback-Leibler divergence of the saliency from the density, in nats, 0 is best."""
    s, d = _normalized(saliency), _normalized(density)
    return float(np.sum(d * np.log(_EPSILON + d / (s + _EPSILON))))


def iou(found: Mask, true: Mask) -> float:
    """Intersection over union of two masks, 0..1; 1 when both are empty."""
    union = int(np.count_nonzero(found | true))
    return int(np.count_nonzero(found & true)) / union if union else 1.0


def top_share(saliency: Map, share: float) -> Mask:
    """The share (0..1) of the samples that is most salient; of equals, the first in raster order.

    With the share of the true object, :func:`iou` needs no threshold.
    """
    count = round(share * saliency.size)
    order = np.argsort(-np.asarray(saliency, np.float64).ravel(), kind="stable")
    mask = np.zeros(saliency.size, np.bool_)
    mask[order[:count]] = True
    return mask.reshape(saliency.shape)


def scores(saliency: Map, fixations: Mask, density: Map) -> dict[str, float]:
    """The measures of a map by name: CC, NSS, AUC-Judd, SIM and KLD."""
    return {
        "CC": cc(saliency, density),
        "NSS": nss(saliency, fixations),
        "AUC-Judd": auc_judd(saliency, fixations),
        "SIM": sim(saliency, density),
        "KLD": kld(saliency, density),
    }


def _normalized(values: Map) -> NDArray[np.float64]:
    """Non-negative, of sum 1; a map that is zero everywhere counts as uniform."""
    positive = np.maximum(np.asarray(values, np.float64), 0)
    total = float(positive.sum())
    return positive / total if total > 0 else np.full(positive.shape, 1 / positive.size)


def _check_fixations(fixations: Mask) -> None:
    if not fixations.any():
        raise ValueError("there is no fixation")
