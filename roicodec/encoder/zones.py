"""Zones: stretches of time with another quality, region of interest or strength of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from roicodec.bitstream.constants import MAX_QUALITY
from roicodec.errors import InputError

__all__ = ["Zone", "zone_at", "zone_shift"]

_MAX_STRENGTH = 2.0


@dataclass(frozen=True)
class Zone:
    """A stretch of time; of several that hold a moment, the last counts.

    Attributes:
        start, end: seconds of the video's clock; pictures from ``start`` up to, not including,
            ``end``.
        quality: index 0..63 instead of the options'; None for theirs.
        strength: 0..2, how far the quality of ROI and rest is apart, instead of the options'
            ``roi_strength``; None for theirs.
        roi: region of interest instead of the video's, as
            :func:`~roicodec.encoder.roi.sources.parse_roi` takes it; None for that.

    Raises:
        InputError: if a field is out of its range, or nothing is changed.
    """

    start: Fraction
    end: Fraction
    quality: int | None = None
    roi: str | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise InputError(
                f"zone {float(self.start):g} s to {float(self.end):g} s: the end lies after the"
                " start",
                parameter="zones",
            )
        if self.quality is not None and not 0 <= self.quality <= MAX_QUALITY:
            raise InputError(f"zone: quality {self.quality}: give 0..63", parameter="zones")
        if self.strength is not None and not 0 <= self.strength <= _MAX_STRENGTH:
            raise InputError(f"zone: strength {self.strength:g}: give 0..2", parameter="zones")
        if self.quality is None and self.roi is None and self.strength is None:
            raise InputError(
                "zone: give q=..., roi=..., strength=... or several", parameter="zones"
            )

    @classmethod
    def of(cls, text: str, seconds: Sequence[Fraction]) -> Self:
        """A zone from what follows its times.

        Args:
            text: ``q=50``, ``roi=none``, ``strength=1.5``, or several with commas between; a ROI
                may have commas.
            seconds: start and end.

        Raises:
            InputError: if it cannot be read.
        """
        found: dict[str, str] = {}
        name = ""
        for piece in text.split(","):
            key, equals, value = piece.partition("=")
            if equals and key in ("q", "roi", "strength") and key not in found:
                name, found[key] = key, value
            elif name == "roi":
                found["roi"] += f",{piece}"
            else:
                raise InputError(
                    f"zone {text!r}: give start,end,q=0..63, roi=..., strength=0..2, or several",
                    parameter="zones",
                )
        quality = found.get("q")
        if quality is not None and not (quality.isascii() and quality.isdigit()):
            raise InputError(f"zone: quality {quality!r}: give 0..63", parameter="zones")
        strength = found.get("strength")
        if strength is not None and not re.fullmatch(r"\d+(\.\d*)?|\.\d+", strength):
            raise InputError(f"zone: strength {strength!r}: give 0..2", parameter="zones")
        start, end = seconds
        return cls(
            start,
            end,
            None if quality is None else int(quality),
            found.get("roi"),
            None if strength is None else float(strength),
        )


def zone_at(zones: Sequence[Zone], time: Fraction) -> Zone | None:
    """The zone that counts at a time in seconds; None if there is none."""
    return next((zone for zone in reversed(zones) if zone.start <= time < zone.end), None)


def zone_shift(zones: Sequence[Zone], quality: int, time: Fraction) -> int:
    """Quality indices that a zone adds to a video's.

    Args:
        zones: of the video.
        quality: index of the video.
        time: of a picture, in seconds.
    """
    zone = zone_at(zones, time)
    return 0 if zone is None or zone.quality is None else zone.quality - quality
