"""Where segments begin: at cuts and at every so many GOPs, by the pictures so far alone.

So one process need not look ahead, and one that only reads finds the same places.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.scene import is_cut, thumbnail
from roicodec.picture import Picture

__all__ = ["Segment", "SegmentRules", "Segmenter", "picture_crc", "segment_rules"]

_LEAST = 64
"""Frames of a segment at constant quality, at least: what a new one costs is not seen then."""

_LEAST_STEERED = 288
"""The same where a rate or PSNR is kept, three times the horizon within which rate control corrects
itself."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Whole GOPs of a video that are coded apart.

    Attributes:
        number: from 0.
        start, stop: numbers of its first frame and of the one after its last.
        cut: whether a scene begins with it, so that what was before does not matter.
        crc32: of its pictures, see :func:`picture_crc`.
        bit_rate: its budget in bits a second, where the video has one.
    """

    number: int
    start: int
    stop: int
    cut: bool
    crc32: int
    bit_rate: float | None = None

    @property
    def frames(self) -> int:
        """Number of its frames."""
        return self.stop - self.start


def picture_crc(picture: Picture, crc: int) -> int:
    """CRC-32 of the pictures so far, this one added: samples, time stamp and duration."""
    times = f"{picture.crc32()} {picture.pts} {picture.duration};"
    return zlib.crc32(times.encode(), crc)


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """Rules by which a video is divided.

    Attributes:
        gop: frames of a GOP.
        least: frames from which a segment may end, with a GOP or a scene. Shorter scenes begin
            inside of one, where the encoder finds them.
    """

    gop: int
    least: int


def segment_rules(options: EncoderOptions) -> SegmentRules:
    """The rules for an encoder's options."""
    goals = (options.bit_rate, options.psnr, options.roi_psnr)
    steered = any(goal is not None for goal in goals)
    return SegmentRules(options.gop, _LEAST_STEERED if steered else _LEAST)


class Segmenter:
    """Division of pictures, which come one by one, into segments.

    Args:
        rules: to divide by; None for a single segment.

    Attributes:
        cut: whether the newest picture begins a scene.
    """

    def __init__(self, rules: SegmentRules | None) -> None:
        self._rules = rules
        self._length = self._since_cut = 0
        self._last: NDArray[np.float64] | None = None
        self.cut = False

    def starts(self, picture: Picture) -> bool:
        """Whether a segment begins with the next picture; the first always begins one."""
        rules = self._rules
        if rules is None:
            self._length += 1
            return self._length == 1
        before, self._last = self._last, thumbnail(picture)
        self.cut = before is None or is_cut(self._last, before)
        if self.cut:
            self._since_cut = 0
        ends = self._length >= rules.least and self._since_cut % rules.gop == 0
        starts = before is None or ends
        self._length = 1 if starts else self._length + 1
        self._since_cut += 1
        return starts
