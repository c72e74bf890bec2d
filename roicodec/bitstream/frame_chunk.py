"""The ``FRAM`` chunk: one coded frame."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

from roicodec.bitstream import sei
from roicodec.bitstream.constants import (
    BIDIRECTIONAL,
    INTER,
    INTRA,
    MAPS_ALL,
    MAPS_INTRA,
    MAX_DISTANCE,
    MAX_FRAMES,
    MAX_GAP,
    MAX_LAYER,
    MAX_QUALITY,
)
from roicodec.bitstream.fields import Cursor, blob, signed, varint
from roicodec.bitstream.header import Header
from roicodec.errors import StreamError

__all__ = ["LOW_DELAY", "MIN_FRAME", "FrameChunk", "Place", "has_map"]

_INTER_BIT, _TIME_BIT, _PLACED = 0x80, 0x40, 0xC0
"""First byte's upper bits: a frame that refers to the one before, one with a time stamp of its own,
one whose second byte tells all of this."""
_KINDS, _TIMED, _REORDERED, _KEPT, _LAYER = 0x03, 0x04, 0x08, 0x10, 5
"""The second byte: frame type, time stamp, place, whether it is referred to, layer."""
_LATEST = (1 << 63) - 1

MIN_FRAME = 12 + sei.SIZE + 10
"""Fewest bytes of a frame chunk: framing, SEI, first byte, number, filters, two empty sections and
the CRC."""


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a frame among the others.

    Attributes:
        shift: its number in the order of presentation less that in the order of coding.
        past: frames from the reference shown before it, 1..16; ignored of intra frames.
        future: frames to the reference shown after it, 1..16, of bidirectional frames; else 0.
        layer: temporal layer, 0..7.
        kept: whether others refer to it.
    """

    shift: int = 0
    past: int = 1
    future: int = 0
    layer: int = 0
    kept: bool = True


LOW_DELAY = Place()
"""Place of a frame that is shown when it is coded, and refers to the one before."""


@dataclass(frozen=True, slots=True)
class FrameChunk:
    """One coded frame.

    Attributes:
        b_roi, b_bg: bit-widths of the ROI and of the rest; both among the header's candidates.
        kind: ``INTRA``, ``INTER`` or ``BIDIRECTIONAL``.
        quality: quality index, 0..63.
        pts, duration: in units of the header's time base; duration 0 when unknown.
        filters: activities for which the post-filter is on, eight bits for luma, eight for chroma.
        mask: ROI, entropy-coded; empty when it stays as it was.
        motion: skip map and vectors, entropy-coded; empty where there is nothing.
        latents: hyper-latents and latents, entropy-coded; empty where there is nothing.
        crc32: of the picture, post-filtered, as :meth:`roicodec.picture.Picture.crc32` gives.
        place: among the other frames.
        offsets: quality map, entropy-coded; empty when it stays as it was.
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
    place: Place = LOW_DELAY
    offsets: bytes = b""

    @property
    def sections(self) -> dict[str, int]:
        """Bytes of each entropy-coded section, by name."""
        return {
            "mask": len(self.mask),
            "motion": len(self.motion),
            "map": len(self.offsets),
            "latents": len(self.latents),
        }

    def pack(self, header: Header, number: int) -> bytes:
        """Payload of the chunk of frame ``number``, counted from 0 in the order of coding.

        Raises:
            ValueError: if a field is out of its range.
        """
        self._check(header)
        shown, place = number + self.place.shift, self.place
        late, longer = self.pts - header.nominal(shown), self.duration - header.nominal(1)
        irregular = bool(late or longer)
        reordered = place != LOW_DELAY
        if reordered or (irregular and self.kind != INTRA):
            first = bytes(
                [
                    self.quality | _PLACED,
                    self.kind | _TIMED * irregular | _REORDERED * reordered | _KEPT * place.kept
                    | place.layer << _LAYER,
                ]
            )  # fmt: skip
        else:
            first = bytes([self.quality | _INTER_BIT * self.kind | _TIME_BIT * irregular])
        distances = place.past - 1 << 4 | max(place.future - 1, 0)
        return b"".join(
            [
                sei.pack(self.b_roi, self.b_bg),
                first,
                varint(number),
                *((signed(place.shift), bytes([distances])) if reordered else ()),
                *(map(signed, (late, longer)) if irregular else ()),
                bytes(self.filters),
                *map(blob, (self.mask, self.motion)),
                *((blob(self.offsets),) if has_map(header, self.kind) else ()),
                self.latents,
                struct.pack(">I", self.crc32),
            ]
        )

    @classmethod
    def unpack(
        cls, payload: bytes, header: Header, due: int | None = None
    ) -> tuple[int, Self, list[str]]:
        """Frame from the payload of its chunk.

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
        timed, reordered, place = bool(first & _TIME_BIT), False, LOW_DELAY
        if first & _PLACED == _PLACED and header.version > 6:
            (second,) = data.take(1)
            kind, timed = second & _KINDS, bool(second & _TIMED)
            reordered = bool(second & _REORDERED)
            place = Place(layer=second >> _LAYER, kept=bool(second & _KEPT))
        number = data.varint()
        if due is not None and number > min(due + MAX_GAP, MAX_FRAMES - 1):
            replaced.append(f"its number is {number}, which cannot be; taken as frame {due}")
            number = due
        if reordered:
            shift, (distances,) = data.signed(), data.take(1)
            future = (distances & 15) + 1 if kind == BIDIRECTIONAL else 0
            place = Place(shift, (distances >> 4) + 1, future, place.layer, place.kept)
        shown = max(number + place.shift, 0)
        late, longer = (data.signed(), data.signed()) if timed else (0, 0)
        pts, duration = header.nominal(shown) + late, header.nominal(1) + longer
        if not (_in_time(pts) and _in_time(duration) and duration >= 0):
            replaced.append("its time stamp or duration cannot be; taken as the nominal ones")
            pts, duration = (min(header.nominal(n), _LATEST) for n in (shown, 1))
        luma, chroma = data.take(2)
        mask, motion = data.blob(), data.blob()
        offsets = data.blob() if has_map(header, kind) else b""
        rest = data.rest()
        if len(rest) < 4:
            raise StreamError("the frame ends before the CRC of its planes")
        frame = cls(
            b_roi, b_bg, kind, quality, pts, duration, (luma, chroma), mask, motion, rest[:-4],
            int.from_bytes(rest[-4:], "big"), place, offsets,
        )  # fmt: skip
        try:
            frame._check(header)
            if number + place.shift < 0:
                raise ValueError(f"its number is {number}, and it is shown {place.shift} frames on")
        except ValueError as error:
            raise StreamError(str(error)) from error
        return number, frame, replaced

    def _check(self, header: Header) -> None:
        if self.kind not in (INTRA, INTER, BIDIRECTIONAL):
            raise ValueError(f"frame type {self.kind} is none of intra (0), inter (1) and B (2)")
        place, both = self.place, self.kind == BIDIRECTIONAL
        if abs(place.shift) > MAX_DISTANCE or (self.kind == INTRA and place.shift):
            raise ValueError(f"the frame is shown {place.shift} frames after its turn")
        if not 1 <= place.past <= MAX_DISTANCE or not both <= place.future <= both * MAX_DISTANCE:
            raise ValueError(
                f"distances {place.past} and {place.future} to its references are out of range"
            )
        if not 0 <= place.layer <= MAX_LAYER:
            raise ValueError(f"layer {place.layer} is not in 0..{MAX_LAYER}")
        if not 0 <= self.quality <= MAX_QUALITY:
            raise ValueError(f"quality index {self.quality} is not in 0..{MAX_QUALITY}")
        if self.offsets and not has_map(header, self.kind):
            raise ValueError("a quality map where the header says that there is none")
        if not {self.b_roi, self.b_bg} <= {c.bits for c in header.candidates}:
            raise ValueError(f"bit-widths {self.b_roi}, {self.b_bg} are not among the candidates")
        if not (_in_time(self.pts) and _in_time(self.duration) and self.duration >= 0):
            raise ValueError(f"time stamp {self.pts} or duration {self.duration} out of range")


def has_map(header: Header, kind: int) -> bool:
    """Whether a frame has a quality map.

    Args:
        header: of the stream.
        kind: frame type.
    """
    return header.maps == MAPS_ALL or (header.maps == MAPS_INTRA and kind == INTRA)


def _in_time(value: int) -> bool:
    return -_LATEST <= value <= _LATEST
