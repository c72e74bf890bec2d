"""Share of a frame that becomes ROI, by the bits that this is expected to save."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Choice", "expected_log_rates", "worth"]

_WEIGHT = 0.8
"""Weight of what matters in the mean squared error, as the ROI-weighted measures have it."""
_GAIN = 4.5
"""dB by which the ROI is better than the rest, with the bit-widths and offsets in use."""
_PRICE = 0.28
"""Logarithm of the rate that 1 dB takes, fitted to measured BD-BR (``docs/roi.md``)."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Choice:
    """A share of the cells, 0..1, and the part of the bits that it is expected to save: below 0
    where it would cost more."""

    share: float
    saving: float


def expected_log_rates(chances: Floats, bits: Floats | None = None) -> NDArray[np.float64]:
    """Logarithm of the rate at equal ROI-weighted quality if the k likeliest cells are ROI.

    With a part b of all bits in them, the rate is 1 + b (exp(price gain) - 1) times as large, and
    of the weighted squared error 0.8 is spread over the cells by their chance of mattering, 0.2
    by that of not mattering.

    Args:
        chances: that a cell matters, 0..1, of any shape, n of them.
        bits: what each cell takes without ROI, above 0, on any scale; by default all the same.

    Returns:
        float64 ``[n + 1]``, for k = 0 (where it is 0) to n.
    """
    order, error = _errors(chances)
    return _log_rates(error, None if bits is None else np.ravel(bits)[order])


def _errors(chances: Floats) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The cells from the likeliest on, and the weighted squared error with k of them as ROI."""
    chance = np.asarray(chances, np.float64).ravel()
    order = np.argsort(-chance, kind="stable")
    falling = chance[order]
    kept = 1 - 10 ** (-_GAIN / 10)
    error = np.ones(falling.size + 1)
    for weight, part in ((_WEIGHT, falling), (1 - _WEIGHT, 1 - falling)):
        total = float(part.sum())
        if total > 0:
            error[1:] -= weight * kept * np.cumsum(part) / total
    return order, error


def _log_rates(error: NDArray[np.float64], bits: Floats | None) -> NDArray[np.float64]:
    cost = np.ones(error.size - 1) if bits is None else np.asarray(bits, np.float64)
    rate = np.ones(error.size)
    rate[1:] += np.cumsum(cost) / cost.sum() * math.expm1(_PRICE * _GAIN)
    return np.asarray(np.log(rate) + _PRICE * 10 * np.log10(error), np.float64)


def worth(chances: Floats, bits: Floats | None, least: float, most: float) -> Choice:
    """The share between ``least`` and ``most`` that would save most if all cells took the same bits
    (so that what moves is not left out for moving), and what it saves with the bits they take.

    Args:
        chances: that a cell matters, 0..1, of any shape.
        bits: what each cell takes without ROI, on any scale; None where unknown.
        least, most: shares, 0..1.
    """
    order, error = _errors(chances)
    curve = _log_rates(error, None)
    count = chances.size
    low = min(count, max(1, round(least * count)))
    high = max(low, round(most * count))
    best = low + int(np.argmin(curve[low : high + 1]))
    if bits is not None:
        curve = _log_rates(error, np.ravel(bits)[order])
    return Choice(best / count, -math.expm1(float(curve[best])))
