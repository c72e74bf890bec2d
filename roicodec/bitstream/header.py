"""The ``HEAD`` chunk: everything that a decoder must know before the first frame."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from roicodec.bitstream.constants import MAX_AREA, MAX_BITS, MAX_SIDE, MIN_SIDE
from roicodec.bitstream.fields import Cursor, fraction, text
from roicodec.errors import InputError, StreamError

__all__ = ["Candidate", "Header"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bit-width that a stream may use (0..16; 0 = skip) and its quality offset (-128..127)."""

    bits: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """What a decoder must know before the first frame.

    Attributes:
        width, height: luma samples, 16..4096 each, at most 4096 * 2304 together.
        model_id: hash of the integer weights, 16 bytes.
        arithmetic_id: which definition of the integer arithmetic, 0..65535.
        candidates: the bit-widths that frames may name, at least one.
        gop: most frames from one intra frame to the next, 1..65535.
        time_base: seconds per unit of ``pts``.
        frame_rate: nominal frames per second; 0 when unknown.
        sample_aspect_ratio: width by height of a sample; 0 when unknown.
        rotation: degrees, -180..180, by which a player turns the picture counterclockwise.
        pixel_format: the source's format by FFmpeg's name; the stream itself is yuv420p.
        color_range, color_matrix, color_primaries, color_transfer, chroma_location: the numbers
            of FFmpeg's AVColorRange, AVColorSpace, AVColorPrimaries,
            AVColorTransferCharacteristic and AVChromaLocation (the middle three are code points
            of ITU-T H.273); 0..255.
        encoder: name and version of the program that wrote the stream.

    Raises:
        InputError: if a field is out of its range.
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
        if len(self.model_id) != 16:
            raise InputError(f"the model id has {len(self.model_id)} bytes instead of 16")
        if self.time_base <= 0 or self.frame_rate < 0 or self.sample_aspect_ratio < 0:
            raise InputError("time base, frame rate and sample aspect cannot be negative")

    def nominal(self, number: int) -> int:
        """``number`` frame periods in units of the time base, halves rounded up."""
        span = number * self._period
        return (2 * span.numerator + span.denominator) // (2 * span.denominator)

    @property
    def _period(self) -> Fraction:
        return 1 / (self.frame_rate * self.time_base) if self.frame_rate else Fraction(0)

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
            ]
        )  # fmt: skip

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """Read the payload of the header chunk.

        Raises:
            StreamError: if it is malformed or a field is out of its range.
        """
        data = Cursor(payload)
        width, height, gop, arithmetic_id, rotation = data.unpack(">HHHHh")
        model_id = data.take(16)
        color_range, matrix, primaries, transfer, location, count = data.take(6)
        candidates = tuple(Candidate(*data.unpack(">Bb")) for _ in range(count))
        time_base, frame_rate, sample_aspect_ratio = (data.fraction() for _ in range(3))
        pixel_format, encoder = data.text(), data.text()
        data.end()
        try:
            return cls(
                width, height, model_id, arithmetic_id, candidates, gop, time_base, frame_rate,
                sample_aspect_ratio, rotation, pixel_format, color_range, matrix, primaries,
                transfer, location, encoder,
            )  # fmt: skip
        except InputError as error:
            raise StreamError(str(error)) from error
