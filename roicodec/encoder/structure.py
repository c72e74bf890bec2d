"""Choice of the coding structure, a few frames at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from roicodec.encoder.gop import AUTO, AUTO_INTRA_OFFSET, INTRA_OFFSETS, PYRAMIDS

__all__ = ["AutoStructure", "FixedStructure", "Structure", "Tried", "structure"]

_LENGTHS = (4, 8)
"""Pyramids that are tried: one of 16 is seldom better than two of 8."""

_FIXED, _QUALITY, _BITS, _DECIBEL = -0.097, -0.036 / 18, 0.50, -0.32
"""Expected growth of a GOP's bits at equal PSNR, log2, from that of the bits and of the PSNR in its
first frames: least squares over 20 clips of training, at indices 18 to 54. What a pyramid spends on
its last frame pays only later."""

_MIDDLE = 36
"""Quality index of the first of these."""

_LEAST = -0.07
"""Growth from which a pyramid is chosen. The estimate errs by about 0.1, and it was fitted at
effort 3, at which pyramids gain about 0.03 more than at the default."""

_CHANGED, _SELDOM = 1.5, 32
"""Ratio of prices of residuals from which a choice is made anew within a GOP, and the frames after
the last trial from which on: time that trials take."""


@dataclass(frozen=True)
class Tried:
    """Result of coding some frames in one way.

    Attributes:
        bits: of all of them.
        psnr: mean, (6 Y + U + V) / 8 in dB.
    """

    bits: int
    psnr: float


class Structure(Protocol):
    """Chooser of the lengths of mini-GOPs.

    Attributes:
        longest: most frames of a mini-GOP.
        intra_offset: quality indices that an intra frame gets on top.
    """

    longest: int
    intra_offset: int

    def begin(self) -> None:
        """An intra frame comes next."""

    def lengths(self, prices: Sequence[float], *, ended: bool) -> tuple[int, ...]:
        """Lengths of mini-GOPs to code the next frames by: all but one are trials. Nothing where
        more pictures must come first.

        Args:
            prices: of the residuals of the pictures that wait, each predicted by the one before it,
                in bits; inter frames all, at least one.
            ended: whether no other inter frame follows them.
        """

    def best(self, tried: Sequence[Tried], quality: int) -> int:
        """Which of the lengths just tried to keep, by its index.

        Args:
            tried: in the order of the lengths.
            quality: their base index.
        """


class FixedStructure:
    """Pyramids of one length, the last before an intra frame shorter.

    Args:
        longest: frames of a pyramid, 1..16.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.intra_offset = INTRA_OFFSETS[longest > 1]

    def begin(self) -> None:
        pass

    def lengths(self, prices: Sequence[float], *, ended: bool) -> tuple[int, ...]:
        if len(prices) >= self.longest:
            return (self.longest,)
        return (len(prices),) if ended else ()

    def best(self, tried: Sequence[Tried], quality: int) -> int:
        return 0


class AutoStructure:
    """Low delay or pyramids, as the first frames of a GOP and those from which motion changes are
    better coded.

    Args:
        lookahead: most pictures that wait, at least 1; pyramids are not longer.
    """

    intra_offset = AUTO_INTRA_OFFSET

    def __init__(self, lookahead: int) -> None:
        self.longest = max((n for n in _LENGTHS if n <= lookahead), default=1)
        self._chosen: int | None = None
        self._price = 0.0
        self._since = 0

    def begin(self) -> None:
        self._chosen = None

    def lengths(self, prices: Sequence[float], *, ended: bool) -> tuple[int, ...]:
        if self.longest == 1:
            return (1,)
        waiting = min(len(prices), self.longest)
        if waiting < self.longest and not ended:
            return ()
        if waiting > 2 and self._undecided(fmean(prices[:waiting]) + 1):
            self._since = waiting
            return 1, waiting
        length = min(self._chosen or 1, waiting)
        self._since += length
        return (length,)

    def _undecided(self, price: float) -> bool:
        """Whether the next frames are to be tried, by the mean of their prices."""
        if self._chosen is not None:
            ratio = max(price / self._price, self._price / price)
            if self._since < _SELDOM or ratio < _CHANGED:
                return False
        self._price = price
        return True

    def best(self, tried: Sequence[Tried], quality: int) -> int:
        low_delay, pyramid = tried
        bits = math.log2(pyramid.bits / low_delay.bits)
        growth = (
            _FIXED
            + _QUALITY * (quality - _MIDDLE)
            + _BITS * bits
            + _DECIBEL * (pyramid.psnr - low_delay.psnr)
        )
        index = int(growth < _LEAST)
        self._chosen = (1, self.longest)[index]
        return index


def structure(name: str, lookahead: int) -> Structure:
    """The chooser of a structure of :data:`~roicodec.encoder.gop.STRUCTURES`.

    Args:
        name: of the structure.
        lookahead: most pictures that wait, for ``auto``.
    """
    if name == AUTO:
        return AutoStructure(lookahead)
    return FixedStructure(PYRAMIDS[name])
