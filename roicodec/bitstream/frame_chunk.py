"""The ``FRAM`` chunk: one coded frame."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

from roicodec.bitstream import sei
from roicodec.bitstream.constants import INTER, INTRA, MAX_FRAMES, MAX_GAP, MAX_QUALITY
from roicodec.bitstream.fields import Cursor, blob, signed, varint
from roicodec.bitstream.header import Header
from roicodec.errors import StreamError

__all__ = ["MIN_FRAME", "FrameChunk"]

_INTER_BIT, _TIME_BIT = 0x80, 0x40
_LATEST = (1 << 63) - 1

MIN_FRAME = 12 + sei.SIZE + 10
"""Fewest bytes of a frame chunk: framing, SEI, first byte, number, filters, two empty sections and
the CRC."""


@dataclass(frozen=True, slots=True)
class FrameChunk:
    """One coded frame.

    Attributes:
        b_roi, b_bg: bit-widths of the ROI and of the rest; both among the header's candidates.
        kind: ``INTRA`` or ``INTER``.
        quality: quality index, 0..63.
        pts, duration: in units of the header's time base; duration 0 when unknown.
        filters: activities for which the post-filter is on, eight bits for luma, eight for chroma.
        mask: ROI, entropy-coded; empty when it stays as it was.
        motion: skip map and vectors, entropy-coded; empty where there is nothing.
        latents: hyper-latents and latents, entropy-coded; empty where there is nothing.
        crc32: of the picture, post-filtered, as :meth:`roicodec.picture.Picture.crc32` gives.
    """

    b_roi: int
    b_bg: int
    kind: int
    quality: int
    pts: int
    duration: int
    filters: tuple[int, int]
    mask: bytes
    motion: bytes
    latents: bytes
    crc32: int

    def pack(self, header: Header, number: int) -> bytes:
        """Payload of the chunk of frame ``number``, counted from 0.

        Raises:
            ValueError: if a field is out of its range.
        """
        self._check(header)
        late, longer = self.pts - header.nominal(number), self.duration - header.nominal(1)
        irregular = bool(late or longer)
        first = self.quality | _INTER_BIT * self.kind | _TIME_BIT * irregular
        return b"".join(
            [
                sei.pack(self.b_roi, self.b_bg),
                bytes([first]),
                varint(number),
                *(map(signed, (late, longer)) if irregular else ()),
                bytes(self.filters),
                *map(blob, (self.mask, self.motion)),
                self.latents,
                struct.pack(">I", self.crc32),
            ]
        )

    @classmethod
    def unpack(
        cls, payload: bytes, header: Header, due: int | None = None
    ) -> tuple[int, Self, list[str]]:
        """Read the payload of a frame chunk.

        Args:
            payload: of the chunk.
            header: of the stream.
            due: number of the next frame if none is missing, for judging the frame's number.

        Returns:
            the frame's number, the frame, and a line for each field that is out of its range and
            not needed for decoding: a number that cannot follow gives way to the one that is due,
            time stamp and duration to the nominal ones.

        Raises:
            StreamError: if the payload is malformed, or a field that decoding needs is out of its
                range.
        """
        data, replaced = Cursor(payload), []
        b_roi, b_bg = sei.unpack(data.take(sei.SIZE))
        (first,) = data.take(1)
        kind, quality = (INTER if first & _INTER_BIT else INTRA), first & MAX_QUALITY
        number = data.varint()
        if due is not None and number > min(due + MAX_GAP, MAX_FRAMES - 1):
            replaced.append(f"its number is {number}, which cannot be; taken as frame {due}")
            number = due
        late, longer = (data.signed(), data.signed()) if first & _TIME_BIT else (0, 0)
        pts, duration = header.nominal(number) + late, header.nominal(1) + longer
        if not (_in_time(pts) and _in_time(duration) and duration >= 0):
            replaced.append("its time stamp or duration cannot be; taken as the nominal ones")
            pts, duration = (min(header.nominal(n), _LATEST) for n in (number, 1))
        luma, chroma = data.take(2)
        mask, motion = data.blob(), data.blob()
        rest = data.rest()
        if len(rest) < 4:
            raise StreamError("the frame ends before the CRC of its planes")
        frame = cls(
            b_roi, b_bg, kind, quality, pts, duration, (luma, chroma), mask, motion, rest[:-4],
            int.from_bytes(rest[-4:], "big"),
        )  # fmt: skip
        try:
            frame._check(header)
        except ValueError as error:
            raise StreamError(str(error)) from error
        return number, frame, replaced

    def _check(self, header: Header) -> None:
        if self.kind not in (INTRA, INTER):
            raise ValueError(f"frame type {self.kind} is neither intra (0) nor inter (1)")
        if not 0 <= self.quality <= MAX_QUALITY:
            raise ValueError(f"quality index {self.quality} is not in 0..{MAX_QUALITY}")
        if not {self.b_roi, self.b_bg} <= {c.bits for c in header.candidates}:
            raise ValueError(f"bit-widths {self.b_roi}, {self.b_bg} are not among the candidates")
        if not (_in_time(self.pts) and _in_time(self.duration) and self.duration >= 0):
            raise ValueError(f"time stamp {self.pts} or duration {self.duration} out of range")


def _in_time(value: int) -> bool:
    return -_LATEST <= value <= _LATEST
