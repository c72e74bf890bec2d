"""Control of the mean bit rate by what a first pass has found: qualities that hardly change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from math import log2

from roicodec.bitstream.constants import MAX_QUALITY
from roicodec.encoder.rate_control import missed_bit_rate

__all__ = ["OCTAVES", "Profile", "ProfileControl"]

OCTAVES = 0.08
"""Growth of the bits for an index of quality, logarithm to base 2."""

_PRIOR = 0.03
"""Share of all bits that must be spent for what was spent to count as much as the first pass."""
_MOST = 3.0
"""Most indices by which what is left over or missing changes the quality."""
_REST = 0.02
"""Share of the bits below which what is left over is not spent any more."""


@dataclass(frozen=True)
class Profile:
    """Result of a first pass.

    Attributes:
        quality: index at which the whole video is expected to have the bit rate, 0..63.
        bits: of every frame at one quality, in coding order.
    """

    quality: float
    bits: tuple[int, ...]


class ProfileControl:
    """Controller of the mean bit rate in a second pass.

    The quality is that of the profile, less what the frames so far took more than it told, and what
    is left of the bits is spread over what is left of the video.

    Args:
        bits_per_frame: mean bits of a frame, above 0.
        profile: of the first pass, of at least one frame.
    """

    def __init__(self, bits_per_frame: float, profile: Profile) -> None:
        self._goal, self._middle = bits_per_frame, profile.quality
        self._total = bits_per_frame * len(profile.bits)
        scale = self._total / sum(profile.bits)
        self._until = [0.0, *(scale * bits for bits in accumulate(profile.bits))]
        self._done = 0
        self._spent = self._told = 0.0

    def quality(self, kind: int) -> int:
        left, budget = self._total - self._until[self._done], self._total - self._spent
        prior = _PRIOR * self._total
        ratio = (self._spent + prior) / (self._told + prior)
        index = steady = self._middle - log2(ratio) / OCTAVES
        if left > _REST * self._total:
            index += log2(max(budget, _REST * left) / (left)) / OCTAVES
            index = min(max(index, steady - _MOST), steady + _MOST)
        return round(min(max(index, 0), MAX_QUALITY))

    def coded(
        self, kind: int, quality: int, bits: int, psnr: Callable[[], float], frames: int = 1
    ) -> None:
        end = min(self._done + frames, len(self._until) - 1)
        own = self._until[end] - self._until[self._done]
        self._told += own * 2.0 ** (OCTAVES * (quality - self._middle))
        self._spent += bits
        self._done = end

    def missed(self) -> str:
        """One line on how far the frames are from the goal; empty if near."""
        return missed_bit_rate(self._spent / (self._done * self._goal)) if self._done else ""
