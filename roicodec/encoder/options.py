"""Options of an encoder, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from roicodec.bitstream.constants import MAX_QUALITY
from roicodec.encoder.buffer_control import BufferControl
from roicodec.encoder.effort import DEFAULT_EFFORT, EFFORTS
from roicodec.encoder.gop import AUTO, MAX_LOOKAHEAD, STRUCTURES
from roicodec.encoder.profile_control import Profile, ProfileControl
from roicodec.encoder.rate_control import BitrateControl, ConstantQuality, PsnrControl, RateControl
from roicodec.encoder.roi.selector import QUALITY_OFFSETS
from roicodec.encoder.tune import MAX_TREE, TREE, TUNES
from roicodec.encoder.zones import Zone
from roicodec.errors import InputError

__all__ = ["EncoderOptions", "rate_control"]

_CASCADE = 1.4
"""Quality cascade: the first inter frame of a GOP is this many indices above the requested quality,
the last this many below."""
_MAX_GOP = 0xFFFF


@dataclass(frozen=True)
class EncoderOptions:
    """Options of an encoder.

    Attributes:
        quality: index 0..63 of inter frames, in the mean of a GOP; intra frames get more where
            others follow.
        candidates: bit-widths that frames may use, each one of 0 (skip), 2..8, 16; at least one
            that is not 0.
        gop: most frames from one intra frame to the next, 1..65535; a new scene begins with one,
            too.
        bit_rate: mean bits a second of the frame chunks, above 0, instead of a quality.
        profile: of a first pass, for ``bit_rate``; None for one pass.
        psnr: mean PSNR (6 Y + U + V) / 8 in dB, above 0, instead of a quality.
        frame_rate: frames a second, above 0, for ``bit_rate``.
        frames: length of the clip, at least 1; None when unknown.
        time_base: seconds per unit of the pictures' pts, above 0, for ROI sources that go by time.
        effort: 1..9, see :data:`~roicodec.encoder.effort.EFFORTS`.
        structure: coding structure, one of :data:`~roicodec.encoder.gop.STRUCTURES`.
        lookahead: 1..8, most pictures that wait until the structure ``auto`` chooses; its pyramids
            are not longer, and below 4 there are none.
        tune: what quality means, one of :data:`~roicodec.encoder.tune.TUNES`; ``ssim`` makes what
            is even finer and what is busy coarser.
        tree: 0..4, steps of the quality map by which a cell of an intra frame is finer for each
            doubling of what leans on it (:mod:`roicodec.encoder.tree`), before pyramids; 0 turns
            it off.
        roi_strength: 0..2, how far the quality of the regions is apart, see
            :func:`~roicodec.encoder.roi.selector.quality_offsets`.
        roi_grades: whether gray masks, delta-QP maps and offsets of rectangles grade quality within
            the regions, too (:mod:`roicodec.encoder.roi.grades`); otherwise only ROI and rest
            differ.
        complexity: price of arithmetic, at least 0: percent of a region's cost that 10^6 BitOPs a
            pixel of decoding are worth when bit-widths are chosen.
        roi_psnr: mean PSNR (6 Y + U + V) / 8 of the ROI in dB, above 0, instead of a quality; of
            frames without one, that of the whole.
        max_rate: bits a second, above 0, that may never be exceeded by more than a buffer holds.
        buffer_bits: size of that buffer, above 0; None for a second of ``max_rate``.
        zones: stretches of time with another quality, ROI or strength.

    Raises:
        InputError: naming the field that is out of its range.
    """

    quality: int = 40
    candidates: tuple[int, ...] = (4, 8, 16)
    gop: int = 96
    bit_rate: float | None = None
    profile: Profile | None = None
    psnr: float | None = None
    frame_rate: Fraction = Fraction(25)
    frames: int | None = None
    time_base: Fraction = Fraction(1, 90000)
    effort: int = DEFAULT_EFFORT
    structure: str = AUTO
    lookahead: int = MAX_LOOKAHEAD
    tune: str = "psnr"
    tree: float = TREE
    roi_strength: float = 1.0
    roi_grades: bool = False
    complexity: float = 0.0
    roi_psnr: float | None = None
    max_rate: float | None = None
    buffer_bits: float | None = None
    zones: tuple[Zone, ...] = ()

    def __post_init__(self) -> None:
        _within("quality", self.quality, 0, MAX_QUALITY)
        _within("gop", self.gop, 1, _MAX_GOP)
        _within("effort", self.effort, min(EFFORTS), max(EFFORTS))
        _within("lookahead", self.lookahead, 1, MAX_LOOKAHEAD)
        _within("tree", self.tree, 0, MAX_TREE)
        if self.tune not in TUNES:
            raise InputError(f"tune {self.tune}: give one of {', '.join(TUNES)}")
        _within("roi_strength", self.roi_strength, 0, 2)
        if self.structure not in STRUCTURES:
            raise InputError(f"structure {self.structure}: give one of {', '.join(STRUCTURES)}")
        if not self.complexity >= 0:
            raise InputError(f"complexity {self.complexity:g}: give 0 or more")
        for name in (
            *("bit_rate", "psnr", "roi_psnr", "max_rate", "buffer_bits"),
            *("frame_rate", "frames", "time_base"),
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} {value}: give a number above 0")
        goals = (self.bit_rate, self.psnr, self.roi_psnr)
        if sum(goal is not None for goal in goals) > 1:
            raise InputError("bit_rate, psnr and roi_psnr: give one of them")
        if self.profile is not None and self.bit_rate is None:
            raise InputError("profile: is for bit_rate", parameter="profile")
        if self.buffer_bits is not None and self.max_rate is None:
            raise InputError("buffer_bits: is for max_rate", parameter="buffer_bits")
        if any(zone.quality is not None for zone in self.zones) and any(goals):
            raise InputError(
                "zones change the quality index, which a bit rate or PSNR chooses itself; give a"
                " quality",
                parameter="zones",
            )
        unknown = [b for b in self.candidates if b not in QUALITY_OFFSETS]
        if unknown:
            known = ", ".join(str(b) for b in QUALITY_OFFSETS)
            raise InputError(f"candidate {unknown[0]}: the networks have bit-widths {known}")
        if not any(self.candidates) or len(set(self.candidates)) != len(self.candidates):
            raise InputError(
                f"candidates {self.candidates}: give different bit-widths, at least one above 0"
            )


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} {value:g}: give {low:g}..{high:g}")


def rate_control(options: EncoderOptions, samples: int) -> RateControl:
    """The rate controller for these options.

    Args:
        options: of the encoder.
        samples: luma samples per picture.
    """
    control = _goal_control(options, samples)
    if options.max_rate is None:
        return control
    rate, size = options.max_rate / float(options.frame_rate), options.buffer_bits
    return BufferControl(control, rate, size or options.max_rate, samples)


def _goal_control(options: EncoderOptions, samples: int) -> RateControl:
    """The controller without a limit."""
    gop, frames = options.gop, options.frames
    if options.bit_rate is not None:
        goal = options.bit_rate / float(options.frame_rate)
        if options.profile is not None:
            return ProfileControl(goal, options.profile)
        return BitrateControl(goal, samples, gop=gop, frames=frames)
    decibels = options.psnr or options.roi_psnr
    if decibels is not None:
        return PsnrControl(decibels, gop=gop, frames=frames)
    length = min(gop, frames or gop)
    return ConstantQuality(options.quality, _CASCADE if length > 2 else 0, length)
