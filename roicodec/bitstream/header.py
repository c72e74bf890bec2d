"""The ``HEAD`` chunk: everything that a decoder must know before the first frame."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, Self

from roicodec.bitstream.constants import (
    CHROMA_LOCATIONS,
    COLOR_MATRICES,
    COLOR_PRIMARIES,
    COLOR_RANGES,
    COLOR_TRANSFERS,
    MAPS_ALL,
    MAPS_INTRA,
    MAX_AREA,
    MAX_BITS,
    MAX_PERIOD,
    MAX_REFERENCES,
    MAX_ROTATION,
    MAX_SIDE,
    MAX_TERM,
    MAX_TEXT,
    MIN_SIDE,
    NO_MAPS,
    VERSION,
)
from roicodec.bitstream.fields import Cursor, fraction, text
from roicodec.errors import InputError, StreamError

__all__ = ["Candidate", "Header"]

_REFERENCES, _MAPS = 0x3F, 6
"""The last byte: references, and above them which frames have a quality map."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bit-width that frames may name (0..16; 0 = skip) and its quality offset (-128..127)."""

    bits: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """Everything that a decoder must know before the first frame.

    Attributes:
        width, height: luma samples, 16..4096 each, product at most 4096 * 2304.
        model_id: hash of the integer weights, 16 bytes.
        arithmetic_id: version of the integer arithmetic, 0..65535.
        candidates: bit-widths that frames may name, at least one.
        gop: most frames from one intra frame to the next, 1..65535.
        references: most decoded frames that must be kept to refer to, 1..6.
        maps: which frames have a quality map: ``NO_MAPS``, ``MAPS_INTRA`` or ``MAPS_ALL``.
        time_base: seconds per unit of ``pts``, at most 86400; both terms 1..2**31 - 1.
        frame_rate: nominal frames per second, at least 1/86400, terms likewise; 0 when unknown.
        sample_aspect_ratio: width by height of a sample, terms likewise; 0 when unknown.
        rotation: degrees, -180..180, by which a player turns the picture counterclockwise.
        pixel_format: FFmpeg's name of the source's format; the coded pictures are yuv420p.
        color_range, color_matrix, color_primaries, color_transfer, chroma_location: the numbers
            of FFmpeg's AVColorRange, AVColorSpace, AVColorPrimaries,
            AVColorTransferCharacteristic and AVChromaLocation; the middle three are code points
            of ITU-T H.273.
        encoder: name and version of the program that wrote the stream, at most 1024 bytes.
        version: of the format; the header itself does not tell it.

    Raises:
        InputError: if a field is out of its range; the message names the field.
    """

    width: int
    height: int
    model_id: bytes
    arithmetic_id: int
    candidates: tuple[Candidate, ...]
    gop: int
    time_base: Fraction = Fraction(1, 90000)
    frame_rate: Fraction = Fraction(0)
    sample_aspect_ratio: Fraction = Fraction(0)
    rotation: int = 0
    pixel_format: str = "yuv420p"
    color_range: int = 0
    color_matrix: int = 2
    color_primaries: int = 2
    color_transfer: int = 2
    chroma_location: int = 0
    encoder: str = ""
    references: int = 1
    maps: int = NO_MAPS
    version: int = VERSION

    def __post_init__(self) -> None:
        sides = (self.width, self.height)
        if min(sides) < MIN_SIDE or max(sides) > MAX_SIDE or sides[0] * sides[1] > MAX_AREA:
            raise InputError(
                f"picture size {self.width}x{self.height} is not supported; scale it to between"
                f" {MIN_SIDE}x{MIN_SIDE} and 4096x2304"
            )
        bits = [c.bits for c in self.candidates]
        if not 1 <= len(bits) <= 255 or not all(0 <= b <= MAX_BITS for b in bits):
            raise InputError(f"candidates {bits}: give at least one, each 0..{MAX_BITS}")
        if len(set(bits)) != len(bits):
            raise InputError(f"candidates {bits} name a bit-width twice")
        if not 1 <= self.gop <= 0xFFFF:
            raise InputError(f"GOP length {self.gop} is not in 1..65535")
        if not 1 <= self.references <= MAX_REFERENCES:
            raise InputError(f"{self.references} references are not in 1..{MAX_REFERENCES}")
        if self.maps not in (NO_MAPS, MAPS_INTRA, MAPS_ALL):
            raise InputError(f"quality maps of frames of kind {self.maps} are not known")
        if len(self.model_id) != 16:
            raise InputError(f"the model id has {len(self.model_id)} bytes instead of 16")
        for field in _DESCRIPTION:
            value = getattr(self, field.attribute)
            if not field.sound(value):
                raise InputError(f"{field.name} {_short(value)} is out of range")

    @classmethod
    def mended(cls, **fields: Any) -> tuple[Self, list[str]]:
        """A header of these attributes, whatever a source or a stream says of itself.

        Returns:
            the header, and a line for each descriptive field that is out of its range: decoding
            does not need these, so the value for "unknown" takes its place.

        Raises:
            InputError: if a field that decoding needs is out of its range.
        """
        replaced = _replace_unsound(fields)
        return cls(**fields), replaced

    def nominal(self, number: int) -> int:
        """``number`` frame periods in units of the time base, halves rounded up."""
        rate, base = self.frame_rate, self.time_base
        if not rate:
            return 0
        span = number * rate.denominator * base.denominator
        period = rate.numerator * base.numerator
        return (2 * span + period) // (2 * period)

    def pack(self) -> bytes:
        """The payload of the header chunk."""
        return b"".join(
            [
                struct.pack(">HHHHh", self.width, self.height, self.gop, self.arithmetic_id,
                            self.rotation),
                self.model_id,
                bytes([self.color_range, self.color_matrix, self.color_primaries,
                       self.color_transfer, self.chroma_location, len(self.candidates)]),
                *(struct.pack(">Bb", c.bits, c.offset) for c in self.candidates),
                *map(fraction, (self.time_base, self.frame_rate, self.sample_aspect_ratio)),
                text(self.pixel_format),
                text(self.encoder),
                *([bytes([self.references | self.maps << _MAPS])] if self.version > 6 else ()),
            ]
        )  # fmt: skip

    @classmethod
    def unpack(cls, payload: bytes, version: int = VERSION) -> tuple[Self, list[str]]:
        """Header from the payload of its chunk, in a stream of a version of the format.

        Returns:
            header and lines as :meth:`mended` gives them.

        Raises:
            StreamError: if the payload is malformed, or a field that decoding needs is out of its
                range.
        """
        data = Cursor(payload)
        width, height, gop, arithmetic_id, rotation = data.unpack(">HHHHh")
        model_id = data.take(16)
        color_range, matrix, primaries, transfer, location, count = data.take(6)
        candidates = tuple(Candidate(*data.unpack(">Bb")) for _ in range(count))
        time_base, frame_rate, aspect = (data.fraction() for _ in range(3))
        fields: dict[str, Any] = {
            "width": width,
            "height": height,
            "model_id": model_id,
            "arithmetic_id": arithmetic_id,
            "candidates": candidates,
            "gop": gop,
            "time_base": time_base,
            "frame_rate": frame_rate,
            "sample_aspect_ratio": aspect,
            "rotation": rotation,
            "pixel_format": data.text(),
            "color_range": color_range,
            "color_matrix": matrix,
            "color_primaries": primaries,
            "color_transfer": transfer,
            "chroma_location": location,
            "encoder": data.text(),
            "version": version,
        }
        if version > 6:
            (last,) = data.take(1)
            fields["references"], fields["maps"] = last & _REFERENCES, last >> _MAPS
        data.end()
        try:
            return cls.mended(**fields)
        except InputError as error:
            raise StreamError(str(error)) from error


class _Field(NamedTuple):
    """A descriptive field: nothing that decoding needs."""

    attribute: str
    name: str
    sound: Callable[[Any], object]
    unknown: object


def _fits(value: Fraction) -> bool:
    return 0 <= value.numerator <= MAX_TERM and value.denominator <= MAX_TERM


def _a_rate(value: Fraction) -> bool:
    return _fits(value) and (not value or 1 / value <= MAX_PERIOD)


def _a_time_base(value: Fraction) -> bool:
    return _fits(value) and 0 < value <= MAX_PERIOD


_DESCRIPTION = (
    _Field("frame_rate", "frame rate", _a_rate, Fraction(0)),
    _Field("time_base", "time base", _a_time_base, Fraction(1, 90000)),
    _Field("sample_aspect_ratio", "sample aspect", _fits, Fraction(0)),
    _Field("rotation", "rotation", lambda v: abs(v) <= MAX_ROTATION, 0),
    _Field("pixel_format", "pixel format", re.compile("[a-z0-9_]{0,32}").fullmatch, ""),
    _Field("color_range", "colour range", COLOR_RANGES.__contains__, 0),
    _Field("color_matrix", "colour matrix", COLOR_MATRICES.__contains__, 2),
    _Field("color_primaries", "colour primaries", COLOR_PRIMARIES.__contains__, 2),
    _Field("color_transfer", "colour transfer", COLOR_TRANSFERS.__contains__, 2),
    _Field("chroma_location", "chroma location", CHROMA_LOCATIONS.__contains__, 0),
    _Field("encoder", "encoder's name", lambda v: len(text(v)) <= MAX_TEXT + 2, ""),
)


def _replace_unsound(fields: dict[str, Any]) -> list[str]:
    """Lines on descriptive fields that are out of range, which become "unknown"."""
    lines = []
    for field in _DESCRIPTION:
        value = fields.get(field.attribute)
        if value is None or field.sound(value):
            continue
        unknown = field.unknown
        if field.attribute == "time_base" and fields.get("frame_rate"):
            unknown = 1 / fields["frame_rate"]
        fields[field.attribute] = unknown
        taken = f"taken as {unknown}" if field.attribute == "time_base" else "taken as unknown"
        lines.append(f"{field.name} {_short(value)} is out of range; {taken}")
    return lines


def _short(value: object) -> str:
    """A value as one short line of ASCII, whatever a text holds."""
    shown = ascii(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
