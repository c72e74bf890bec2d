"""Entropy tables that follow the content, by what is coded of a channel against what is expected.

The networks were trained on all content alike. In one stream a channel's latents are larger than
they think, in another smaller, and it stays so for many frames. So the magnitudes that were coded
are summed up beside those that the tables expect, and the ratio of the sums chooses which table
stands in for the one that a network names (backward adaptation; Weinberger, Seroussi and Sapiro,
LOCO-I, IEEE Trans. Image Processing 9(8), 2000, section III-B, corrects its predictions likewise).
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import PRECISION, Ints, Tables

__all__ = ["RATIOS", "Adaptation", "ChannelSums"]

_BOUNDS = np.array((7, 9, 11, 14, 18, 23, 29, 37))
"""Sixteenths of the expected sum where the next class begins: a factor of 2^0.35 apart."""

RATIOS = len(_BOUNDS) + 1
"""Classes of ratio; the middle one is that of channels which are as expected."""

_LARGEST = 2
"""Magnitudes above count as this."""

_SYMBOL_BITS = 8
"""Sums count in ``2**-8``."""

_PRIOR = 4 << _SYMBOL_BITS
"""On both sums: a channel of which little was coded is as expected."""

_KEPT = 14
"""Sixteenths of the sums that a frame leaves for the next."""


class Adaptation:
    """Which table stands in for which.

    Args:
        tables: of the latents.
        stand_ins: table number for every class of ratio and every table, int ``[RATIOS, T]``.

    Raises:
        ValueError: if the stand-ins are none of the tables, or table 0, which codes nothing, is
            another's or has another.
    """

    def __init__(self, tables: Tables, stand_ins: NDArray[np.generic]) -> None:
        self._stand_ins = np.asarray(stand_ins, np.int32)
        if self._stand_ins.shape != (RATIOS, len(tables)):
            raise ValueError(f"stand-ins of shape {self._stand_ins.shape}")
        if self._stand_ins.min() < 0 or self._stand_ins.max() >= len(tables):
            raise ValueError("a stand-in is none of the tables")
        if (self._stand_ins[:, 0] != 0).any() or (self._stand_ins[:, 1:] == 0).any():
            raise ValueError("table 0 cannot be exchanged")
        size = tables.frequencies.shape[1]
        magnitude = np.minimum(np.abs(np.arange(size) + tables.offset), _LARGEST)
        total = tables.frequencies @ magnitude
        self.expected: NDArray[np.int64] = total >> (PRECISION - _SYMBOL_BITS)
        """Mean magnitude that each table expects, in ``2**-8``, ``[T]``."""

    def __call__(self, ratios: Ints) -> Ints:
        """The stand-in of every table in channels of these classes of ratio, ``[C] -> [C, T]``."""
        return self._stand_ins[ratios]


class ChannelSums:
    """Sums of coded and of expected magnitudes in each channel.

    Args:
        channels: how many.
    """

    def __init__(self, channels: int) -> None:
        self._coded = np.zeros(channels, np.int64)
        self._expected = np.zeros(channels, np.int64)

    def copy(self) -> Self:
        """The same sums, to go on by themselves."""
        other = type(self)(len(self._coded))
        other._coded, other._expected = self._coded.copy(), self._expected.copy()
        return other

    def ratios(self) -> Ints:
        """Class of each channel's ratio, 0..8."""
        coded, expected = self._coded + _PRIOR, self._expected + _PRIOR
        reached = 16 * coded[:, None] >= _BOUNDS * expected[:, None]
        return np.asarray(reached.sum(1), np.int32)

    def add(self, symbols: Ints, place: NDArray[np.int64], adaptation: Adaptation) -> None:
        """Count symbols.

        Args:
            symbols: ``[N]``.
            place: channel times T plus the number of the table that the network named, ``[N]``.
            adaptation: of these T tables.
        """
        count, tables = len(self._coded), len(adaptation.expected)
        some = np.flatnonzero(symbols != 0)
        magnitude = np.minimum(np.abs(symbols[some]), _LARGEST)
        coded = np.bincount(place[some] // tables, magnitude, count)
        self._coded += coded.astype(np.int64) << _SYMBOL_BITS
        used = np.bincount(place, minlength=count * tables)
        self._expected += used.reshape(count, tables) @ adaptation.expected

    def fade(self) -> None:
        """What a frame leaves for the next."""
        self._coded = self._coded * _KEPT >> 4
        self._expected = self._expected * _KEPT >> 4
