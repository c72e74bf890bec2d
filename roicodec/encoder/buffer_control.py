"""Limit on the rate over short times: a buffer that fills with bits and empties steadily.

The model is that of a decoder's buffer at the end of a line of constant rate (VBV, HRD), seen from
the encoder: bits that are coded wait in it, and leave it at the line's rate. It may never hold more
than its size, or the decoder would have to wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from roicodec.bitstream.constants import INTER, INTRA, QUALITIES
from roicodec.encoder.rate_control import RateControl

__all__ = ["BufferControl"]

_OCTAVE = 10.0
"""Quality indices that double the bits of a frame, approximately."""
_FIRST_BITS = {INTRA: 0.5, INTER: 0.05}
"""Bits a sample at the middle index that are assumed before the first frame of a type."""
_SAFE = 0.85
"""Share of the free space that a prediction may fill."""
_LEARN = 0.5
"""Weight of the newest frames in the level of their type, where they need more than predicted they
count in full."""


class BufferControl:
    """Controller that lowers another one's quality index where its frames would not fit.

    Args:
        control: chooses the index; may go by a constant quality, a bit rate or a PSNR.
        rate: bits that leave the buffer in the time of a frame, above 0.
        size: bits that it holds, above 0.
        samples: luma samples per picture, for the first guess.
    """

    def __init__(self, control: RateControl, rate: float, size: float, samples: int) -> None:
        self._control, self._rate, self._size = control, rate, size
        self._held = 0.0
        self._exceeded, self._most = 0, 0.0
        self._frames = 1
        middle = QUALITIES / 2
        self._level = {
            kind: math.log2(bits * samples) - middle / _OCTAVE for kind, bits in _FIRST_BITS.items()
        }

    def quality(self, kind: int) -> int:
        wanted = self._control.quality(kind)
        frames = 1 if kind == INTRA else self._frames
        space = _SAFE * (self._size - self._held) + frames * self._rate
        fits = _OCTAVE * (math.log2(max(space, 1.0) / frames) - self._level[kind])
        return max(min(wanted, math.floor(fits)), 0)

    def shortfall(self, kind: int) -> int:
        """Indices by which :meth:`quality` is lower than the other controller wants it.

        Args:
            kind: ``INTRA`` or ``INTER``.
        """
        return max(self._control.quality(kind) - self.quality(kind), 0)

    def coded(
        self, kind: int, quality: int, bits: int, psnr: Callable[[], float], frames: int = 1
    ) -> None:
        self._control.coded(kind, quality, bits, psnr, frames)
        level = math.log2(max(bits, 1) / frames) - quality / _OCTAVE
        known = self._level[kind]
        self._level[kind] = level if level > known else known + _LEARN * (level - known)
        if kind == INTER:
            self._frames = frames
        self._held = max(self._held + bits - frames * self._rate, 0.0)
        if self._held > self._size:
            self._exceeded += 1
            self._most = max(self._most, self._held / self._size)

    def missed(self) -> str:
        if not self._exceeded:
            return self._control.missed()
        return (
            f"the buffer was exceeded {self._exceeded} times, at most by"
            f" {self._most - 1:.0%}, as quality indices end at 0 or a scene needed more than those"
            " before it"
        )
