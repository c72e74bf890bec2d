"""Quality index of each mini-GOP, by which a stream keeps a bit rate or a PSNR.

What is chosen is a base: the coding structure adds an offset by layer, intra frames get one, too
(:mod:`roicodec.encoder.gop`). Frames of a mini-GOP differ much in bits and quality, the means of
mini-GOPs do not, so each counts as a whole. Both controllers measure the frames so far and correct
their deviation from the goal over the frames ahead: the index is the one at which, by a log-linear
model of intra frames and of mini-GOPs, the deviation is corrected within a horizon or until the end
of the clip, whichever comes first. The horizon of bits is long for a clip of known length; of the
frames ahead all but the next few are then expected to be like the average so far, so that an easy
scene does not spend the bits that the next one needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from roicodec.bitstream.constants import INTER, INTRA, QUALITIES

__all__ = ["BitrateControl", "ConstantQuality", "PsnrControl", "RateControl", "missed_bit_rate"]

_LEARN = 0.4
"""Weight of the newest frame in the level of its type."""

_KNOWN, _UNKNOWN, _PSNR = 100, 30, 15
"""Correction horizon in frames: of bits with known length, of bits with unknown length, of PSNR."""

_NEAR, _OLDEST = 40, 0.02
"""Frames ahead that are expected to be like the newest, in a clip of known length; least weight of
a frame in the average of all."""

_OCTAVE = 10.0
"""Quality indices that double the bits of a frame, approximately."""

_DECIBELS = 0.3
"""Approximate PSNR of one quality index, in dB."""

_MOST_CHANGE, _LONG = 4.0, 3
"""Largest step of the index for each frame of the mini-GOP before, of which so many count."""

_FIRST_BITS = {INTRA: 0.5, INTER: 0.05}
"""Bits a sample at the middle index that are assumed before the first frame of a type."""

_FIRST_LEVEL = 34.0
"""PSNR of the middle index that is expected where nothing is known, in dB."""

_MIDDLE = QUALITIES / 2

_NEAR_BITS, _NEAR_DECIBELS = 0.05, 0.3
"""Tolerance of the bit rate, relative, and of the mean PSNR, in dB."""

_WHY = "as quality indices end at 0 and 63 or the clip is too short"


def missed_bit_rate(ratio: float) -> str:
    """A line on a bit rate that is ``ratio`` times the goal; empty if near it."""
    if abs(ratio - 1) <= _NEAR_BITS:
        return ""
    return f"the bit rate is {ratio:.2f} times what was asked for, {_WHY}"


class RateControl(Protocol):
    """Controller that chooses base quality indices, for a mini-GOP or an intra frame at a time."""

    def quality(self, kind: int) -> int:
        """Base index 0..63 of an intra frame (``INTRA``) or a mini-GOP (``INTER``) that would come
        next; asking changes nothing."""

    def coded(
        self, kind: int, quality: int, bits: int, psnr: Callable[[], float], frames: int = 1
    ) -> None:
        """Result of the intra frame or mini-GOP just coded.

        Args:
            kind: ``INTRA`` or ``INTER``.
            quality: the base index that it had.
            bits: of all its frames.
            psnr: measures their mean PSNR (6 Y + U + V) / 8 in dB.
            frames: their number.
        """

    def missed(self) -> str:
        """One line on how far the frames so far are from the goal; empty if near it."""


@dataclass
class ConstantQuality:
    """The same index for every GOP; it falls along a GOP, since later frames refer to earlier ones.

    Attributes:
        index: of inter frames, in the mean of a GOP.
        fall: indices that the first inter frame of a GOP gets on top, and that the last lacks.
        length: frames of a GOP.
    """

    index: int
    fall: float = 0
    length: int = 2
    done: int = 0
    """Frames of the GOP so far."""

    def quality(self, kind: int) -> int:
        if kind == INTRA:
            return self.index
        share = (self.done - 1) / max(self.length - 2, 1)
        index = round(self.index + self.fall * (1 - 2 * min(max(share, 0), 1)))
        return min(max(index, 0), QUALITIES - 1)

    def coded(
        self, kind: int, quality: int, bits: int, psnr: Callable[[], float], frames: int = 1
    ) -> None:
        self.done = 1 if kind == INTRA else self.done + frames

    def missed(self) -> str:
        return ""


@dataclass
class _Steered:
    """State that the two controllers share: a level for each frame type, and the index steered by.

    Attributes:
        gop: frames from one intra frame to the next.
        frames: length of the clip; None when unknown.
        horizon: frames within which a deviation is corrected.
    """

    gop: int
    frames: int | None
    horizon: int
    done: int = 0
    since: int = 0
    """Frames since the last intra frame, it included."""
    last: float | None = None
    step: float = _MOST_CHANGE
    level: dict[int, float] = field(default_factory=dict)

    def ahead(self, kind: int) -> dict[int, int]:
        """Number of frames of each type in the horizon, the next one, of this type, included."""
        count = self.horizon
        if self.frames is not None:
            count = max(1, min(count, self.frames - self.done))
        since = 0 if kind == INTRA else self.since
        intra = sum((since + k) % self.gop == 0 for k in range(count))
        return {INTRA: intra, INTER: count - intra}

    def settle(self, index: float) -> int:
        """The nearest index within 0..63 that is not far from the last one."""
        if self.last is not None:
            index = min(max(index, self.last - self.step), self.last + self.step)
        return round(min(max(index, 0), QUALITIES - 1))

    def learn(self, kind: int, quality: int, level: float, frames: int) -> None:
        known, kept = self.level.get(kind), (1 - _LEARN) ** frames
        self.level[kind] = level if known is None else level + kept * (known - level)
        self.last, self.step = quality, _MOST_CHANGE * min(frames, _LONG)
        self.done += frames
        self.since = 1 if kind == INTRA else self.since + frames


class BitrateControl:
    """Controller of the mean bit rate.

    Args:
        bits_per_frame: mean bits of a frame, above 0.
        samples: luma samples of a picture, for the first guess.
        gop, frames: as in the encoder's options; ``frames`` is None when the clip's length is
            unknown.
    """

    def __init__(
        self, bits_per_frame: float, samples: int, *, gop: int, frames: int | None
    ) -> None:
        self._goal, self._spent = bits_per_frame, 0.0
        horizon, self._near = (_UNKNOWN, _UNKNOWN) if frames is None else (_KNOWN, _NEAR)
        self._state = _Steered(gop, frames, horizon)
        self._average: dict[int, float] = {}
        self._count = {INTRA: 0, INTER: 0}
        self._guess = {kind: math.log2(bits * samples) for kind, bits in _FIRST_BITS.items()}

    def quality(self, kind: int) -> int:
        state = self._state
        ahead = state.ahead(kind)
        count = sum(ahead.values())
        budget = (state.done + count) * self._goal - self._spent
        budget = max(budget, 0.1 * count * self._goal)
        expected = sum(self._expected(k, n) for k, n in ahead.items())
        return state.settle(_MIDDLE + _OCTAVE * math.log2(budget / expected))

    def _expected(self, kind: int, count: int) -> float:
        """Bits of the next frames of a type at the middle index."""
        now = 2.0 ** self._state.level.get(kind, self._guess[kind])
        near = min(count, self._near)
        bits: float = near * now + (count - near) * self._average.get(kind, now)
        return bits

    def coded(
        self, kind: int, quality: int, bits: int, psnr: Callable[[], float], frames: int = 1
    ) -> None:
        self._spent += bits
        level = math.log2(max(bits, 1) / frames) - (quality - _MIDDLE) / _OCTAVE
        self._state.learn(kind, quality, level, frames)
        self._count[kind] += frames
        average, share = self._average.get(kind, 0.0), max(frames / self._count[kind], _OLDEST)
        self._average[kind] = average + share * (2.0**level - average)

    def missed(self) -> str:
        if not self._state.done:
            return ""
        return missed_bit_rate(self._spent / (self._goal * self._state.done))


class PsnrControl:
    """Controller of the mean PSNR.

    Args:
        psnr: mean over the frames of (6 Y + U + V) / 8, in dB.
        gop, frames: as in :class:`BitrateControl`.
    """

    def __init__(self, psnr: float, *, gop: int, frames: int | None) -> None:
        self._goal, self._sum = psnr, 0.0
        self._state = _Steered(gop, frames, _PSNR)

    def tried(self, first: Callable[[int], float], boost: int) -> None:
        """Calibration by trials of the first frame, so that its PSNR is not far from the rest's.

        Args:
            first: PSNR of the first frame, coded intra with a quality index, in dB.
            boost: indices that intra frames get on top of their base.
        """
        state = self._state
        index = _MIDDLE + (self._goal - _FIRST_LEVEL) / _DECIBELS + boost
        quality = round(min(max(index, 0), QUALITIES - 1))
        state.level[INTRA] = first(quality) - (quality - boost - _MIDDLE) * _DECIBELS

    def quality(self, kind: int) -> int:
        state = self._state
        count = sum(state.ahead(kind).values())
        wanted = self._goal + (self._goal * state.done - self._sum) / count
        # An intra frame's level stands for the next inter frames', which are near it in PSNR.
        level = state.level.get(kind, next(iter(state.level.values()), _FIRST_LEVEL))
        return state.settle(_MIDDLE + (wanted - level) / _DECIBELS)

    def coded(
        self, kind: int, quality: int, bits: int, psnr: Callable[[], float], frames: int = 1
    ) -> None:
        measured = psnr()
        self._sum += frames * measured
        level = measured - (quality - _MIDDLE) * _DECIBELS
        self._state.learn(kind, quality, level, frames)

    def missed(self) -> str:
        mean = self._sum / max(self._state.done, 1)
        if not self._state.done or abs(mean - self._goal) <= _NEAR_DECIBELS:
            return ""
        return f"the mean PSNR is {mean:.2f} dB, {self._goal:g} were asked for, {_WHY}"
