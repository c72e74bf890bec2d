"""Bjøntegaard delta rate between two rate-distortion curves.

G. Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33 (2001),
with monotone piecewise cubic interpolation (pchip) of log-rate over quality, as in JVET's
common test conditions, in place of the one cubic polynomial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.errors import InputError

__all__ = ["BdRate", "bd_rate", "compare"]

_MIN_COVERAGE = 0.5
"""Share of the longer curve's quality range that both must cover; below it comes a warning."""

_MIN_POINTS = 4


@dataclass(frozen=True, slots=True)
class BdRate:
    """A BD-BR and the range that it speaks of.

    Attributes:
        percent: mean rate difference at equal quality; negative where the test saves bits.
        low, high: range of quality in which both curves have points, in the measure's unit.
        coverage: length of that range over the longer curve's own, 0..1.
    """

    percent: float
    low: float
    high: float
    coverage: float

    @property
    def warning(self) -> str:
        """Warning of a short overlap; empty where it is long enough."""
        if self.coverage >= _MIN_COVERAGE:
            return ""
        return (
            f"the curves overlap only in {self.low:.4g}..{self.high:.4g}, "
            f"{100 * self.coverage:.0f} % of the longer one"
        )


def _curve(
    rate: Sequence[float], quality: Sequence[float], name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r, q = np.asarray(rate, np.float64).ravel(), np.asarray(quality, np.float64).ravel()
    if len(r) != len(q):
        raise InputError(f"BD-BR: the {name} curve has {len(r)} rates but {len(q)} qualities")
    if len(r) < _MIN_POINTS:
        raise InputError(
            f"BD-BR: the {name} curve has {len(r)} points, {_MIN_POINTS} are needed: "
            "encode at more qualities"
        )
    if not (np.isfinite(r).all() and np.isfinite(q).all() and (r > 0).all()):
        raise InputError(f"BD-BR: the {name} curve has a rate <= 0 or a value that is no number")
    order = np.argsort(r, kind="stable")
    r, q = r[order], q[order]
    for i in range(1, len(r)):
        if r[i] <= r[i - 1] or q[i] <= q[i - 1]:
            raise InputError(
                f"BD-BR: quality does not rise with rate on the {name} curve: "
                f"{q[i - 1]:.6g} at {r[i - 1]:.6g}, {q[i]:.6g} at {r[i]:.6g}"
            )
    return np.log(r), q


def compare(
    anchor_rate: Sequence[float],
    anchor_quality: Sequence[float],
    test_rate: Sequence[float],
    test_quality: Sequence[float],
) -> BdRate:
    """BD-BR of the test curve against the anchor, over the range of quality they share.

    Points may come in any order. Rates in any unit, the same for both.

    Raises:
        InputError: fewer than four points, quality that does not rise with rate, or curves
            that do not overlap.
    """
    from scipy.interpolate import PchipInterpolator

    ra, qa = _curve(anchor_rate, anchor_quality, "anchor's")
    rt, qt = _curve(test_rate, test_quality, "test's")
    low, high = max(qa[0], qt[0]), min(qa[-1], qt[-1])
    if low >= high:
        raise InputError(
            f"BD-BR: the curves do not overlap: anchor {qa[0]:.4g}..{qa[-1]:.4g}, "
            f"test {qt[0]:.4g}..{qt[-1]:.4g}"
        )
    area = [float(PchipInterpolator(q, r).integrate(low, high)) for q, r in ((qa, ra), (qt, rt))]
    span = max(qa[-1] - qa[0], qt[-1] - qt[0])
    percent = 100 * float(np.expm1((area[1] - area[0]) / (high - low)))
    return BdRate(percent, float(low), float(high), float((high - low) / span))


def bd_rate(
    rate_a: Sequence[float],
    psnr_a: Sequence[float],
    rate_b: Sequence[float],
    psnr_b: Sequence[float],
) -> float:
    """Per cent of rate that b needs more than the anchor a (less if negative); see compare()."""
    return compare(rate_a, psnr_a, rate_b, psnr_b).percent
