"""Adaptation of the latents' entropy tables to the content, by the magnitudes of each channel.

The networks were trained on mixed content. In one stream a channel's latents are larger than they
predict, in another smaller, for many frames. So the magnitudes of coded symbols are summed beside
those that the tables expect, and the ratio of the sums selects the stand-in table for the one that
a network names (backward adaptation; Weinberger, Seroussi and Sapiro, LOCO-I, IEEE Trans. Image
Processing 9(8), 2000, section III-B, corrects predictions in the same way).
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
"""Number of classes of the ratio; the middle one is that of channels which are as expected."""

_LARGEST = 2
"""Limit to which magnitudes are clamped before they are summed."""

_SYMBOL_BITS = 8
"""Fractional bits of the sums."""

_PRIOR = 4 << _SYMBOL_BITS
"""Prior added to both sums: the ratio of a channel with few symbols is near 1."""

_KEPT = 14
"""Decay of the sums from one frame to the next, in sixteenths."""


class Adaptation:
    """Stand-in of each table by the class of the channel's ratio.

    Args:
        tables: frequency tables of the latents.
        stand_ins: table number for every class of ratio and every table, int ``[RATIOS, T]``.

    Raises:
        ValueError: if a stand-in is not among the tables, or table 0, which codes nothing, stands
            in for another or is replaced.

    Attributes:
        expected: mean magnitude under each table, in ``2**-8``, int64 ``[T]``.
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

    def __call__(self, ratios: Ints) -> Ints:
        """Stand-in of every table in each channel, int32 ``[C, T]``.

        Args:
            ratios: class of each channel's ratio, int32 ``[C]``.
        """
        return self._stand_ins[ratios]


class ChannelSums:
    """Sums of coded and of expected magnitudes in each channel.

    Args:
        channels: number of channels.

    Attributes:
        coded, expected: the sums, in ``2**-8``, int64 ``[channels]``.
    """

    def __init__(self, channels: int) -> None:
        self.coded = np.zeros(channels, np.int64)
        self.expected = np.zeros(channels, np.int64)

    def copy(self) -> Self:
        """Independent copy of the sums."""
        other = type(self)(len(self.coded))
        other.coded, other.expected = self.coded.copy(), self.expected.copy()
        return other

    def ratios(self) -> Ints:
        """Class of each channel's ratio, 0..8."""
        coded, expected = self.coded + _PRIOR, self.expected + _PRIOR
        reached = 16 * coded[:, None] >= _BOUNDS * expected[:, None]
        return np.asarray(reached.sum(1), np.int32)

    def add(self, coded: NDArray[np.int64], expected: NDArray[np.int64]) -> None:
        """Next step's sums, in ``2**-8``, int64 ``[channels]`` each."""
        self.coded += coded
        self.expected += expected

    def fade(self) -> None:
        """Decay of the sums from a frame to the next."""
        self.coded = self.coded * _KEPT >> 4
        self.expected = self.expected * _KEPT >> 4
