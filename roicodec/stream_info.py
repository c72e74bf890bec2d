"""What a stream says of itself, byte by byte: needs no model (but for BitOPs) and no torch.

Works from front to back, so also from a pipe, and keeps only sums.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Self

import numpy as np

from roicodec.bitstream import sei
from roicodec.bitstream.chunks import Chunk, Damage
from roicodec.bitstream.constants import INTRA
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.mask_coding import Kind, decode_mask
from roicodec.bitstream.masks import Mask, grid_shape
from roicodec.bitstream.motion_section import MotionReader
from roicodec.bitstream.reader import StreamReader
from roicodec.decoder.complexity import complexity
from roicodec.decoder.shapes import FrameShape, decoder_layers
from roicodec.decoder.weights import Arrays, model_id
from roicodec.errors import StreamError
from roicodec.warning_limit import WarningLimit

__all__ = ["PARTS", "FrameInfo", "StreamInfo", "Totals", "csv_lines", "json_lines", "text_lines"]

PARTS = ("sei", "mask", "motion", "latents", "overhead")
"""What the bytes of a frame chunk are counted under; overhead is all that is not the others."""

_KINDS: dict[Kind, str] = {"roi": "mask", "skip": "skip map"}
_RANGES = {0: "unspecified", 1: "limited", 2: "full"}


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """One frame of the listing.

    Attributes:
        number: from 0.
        type: ``"intra"`` or ``"inter"``.
        time: presentation time in seconds.
        quality: quality index, 0..63.
        b_roi, b_bg: bit-widths.
        roi_share: share of the 16x16 grid that is ROI, 0..1; None when a loss hides the mask.
        bit_ops: BitOPs of decoding it (``docs/complexity.md``); None when the mask is hidden, or
            the stream's model is not installed.
        skip_share: share of the grid where the prediction stands, 0..1, by the skip map alone; None
            when a loss hides the map.
        unmatched_share: share of the grid without a match in the reference, 0..1; None likewise.
        sei, mask, motion, latents, overhead: bytes, together those of the chunk; the skip map is
            in motion, the hyper-latents are in latents.
    """

    number: int
    type: str
    time: float
    quality: int
    b_roi: int
    b_bg: int
    roi_share: float | None
    sei: int
    mask: int
    motion: int
    latents: int
    overhead: int
    skip_share: float | None = None
    unmatched_share: float | None = None
    bit_ops: int | None = None

    @property
    def bytes(self) -> int:
        return self.sei + self.mask + self.motion + self.latents + self.overhead


@dataclass(slots=True)
class Totals:
    """Sums over a stream; complete once it was read to its end.

    Attributes:
        frames, intra: number of whole frames, and of intra frames among them.
        lost: frames that are known to be missing.
        truncated: the stream ends before its trailer.
        parts: bytes of the frame chunks by part (:data:`PARTS`).
        header, media, index, other, damaged: bytes of magic, version and header; of tracks and
            packets; of index and trailer; of chunks of unknown type; of what is not whole.
        start, end: time of the first frame and end of the last, in units of the time base.
        quality: sum of the quality indices.
        roi, roi_frames: sum of the ROI shares, and of how many frames.
    """

    frames: int = 0
    intra: int = 0
    lost: int = 0
    truncated: bool = False
    parts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    header: int = 0
    media: int = 0
    index: int = 0
    other: int = 0
    damaged: int = 0
    start: int | None = None
    end: int = 0
    quality: int = 0
    roi: float = 0.0
    roi_frames: int = 0

    @property
    def video(self) -> int:
        """Bytes of all frame chunks."""
        return sum(self.parts.values())

    @property
    def bytes(self) -> int:
        """All bytes of the stream."""
        return self.header + self.video + self.media + self.index + self.other + self.damaged


class StreamInfo:
    """Lists a stream while reading it.

    Args:
        reader: at the start of its stream.
        warn: takes a line for each damage: the first ten, then the number of the others. None
            where ``damages`` is enough.
        take_mask: gets the number and the mask of every whole frame, None for a mask that a loss
            hides.
        networks: arrays of the model; BitOPs are told if it is the stream's.

    Attributes:
        header: of the stream.
        totals: sums over what was read.
        damages: lines on damages so far: the first ten, then the number of the others.
        frame_list: every whole frame, after :meth:`read`.
    """

    def __init__(
        self,
        reader: StreamReader,
        warn: Callable[[str], None] | None = None,
        take_mask: Callable[[int, Mask | None], None] | None = None,
        networks: Mapping[str, Arrays] | None = None,
    ) -> None:
        self._reader = reader
        self._report = warn
        self._warn = WarningLimit(self._damaged)
        self.damages: list[str] = []
        self.frame_list: list[FrameInfo] = []
        self._take_mask = take_mask
        self.header: Header = reader.header
        shape = grid_shape(self.header.width, self.header.height)
        self._roi_maps, self._skip_maps = (_Maps(kind, shape) for kind in _KINDS)
        self.totals = Totals(header=reader.header_size)
        known = networks is not None and model_id(networks) == reader.header.model_id
        self._networks = networks if known else None

    def read(self) -> Self:
        """The same listing, after the whole stream was read."""
        self.frame_list += self.frames()
        return self

    def frames(self) -> Iterator[FrameInfo]:
        """Every whole frame in order; at the end ``totals`` are complete."""
        totals = self.totals
        for item in self._reader:
            if isinstance(item, Damage):
                totals.damaged += item.size
                self._warn(item.message)
                if item.frames:
                    self._roi_maps.lose()
                    self._skip_maps.lose()
            elif item.frame is not None:
                yield self._count(item, item.frame)
            elif item.type in ("TRAK", "PKT "):
                totals.media += item.size
            elif item.type in ("INDX", "TAIL"):
                totals.index += item.size
            else:
                totals.other += item.size
        self._warn.finish()
        totals.lost = self._reader.frames_lost
        totals.truncated = self._reader.truncated

    def seconds(self) -> Fraction:
        """From the first frame to the end of the last; 0 when no duration is known."""
        start = self.totals.start
        return Fraction(0) if start is None else (self.totals.end - start) * self.header.time_base

    def bit_rate(self, size: int) -> float | None:
        """Bits a second of ``size`` bytes; None when the duration is unknown."""
        seconds = self.seconds()
        return float(8 * size / seconds) if seconds > 0 else None

    def _count(self, chunk: Chunk, frame: FrameChunk) -> FrameInfo:
        mask = self._read(self._roi_maps, chunk, frame)
        skip = self._read(self._skip_maps, chunk, frame)
        share = None if mask is None else float(mask.mean())
        if self._take_mask is not None:
            self._take_mask(chunk.number, mask)
        sizes = {
            "sei": sei.SIZE,
            "mask": len(frame.mask),
            "motion": len(frame.motion),
            "latents": len(frame.latents),
        }
        sizes["overhead"] = chunk.size - sum(sizes.values())
        totals = self.totals
        totals.frames += 1
        totals.intra += frame.kind == INTRA
        totals.quality += frame.quality
        if totals.start is None:
            totals.start = totals.end = frame.pts
        totals.end = max(totals.end, frame.pts + frame.duration)
        if share is not None:
            totals.roi += share
            totals.roi_frames += 1
        for part, size in sizes.items():
            totals.parts[part] += size
        return FrameInfo(
            number=chunk.number,
            type="intra" if frame.kind == INTRA else "inter",
            time=float(frame.pts * self.header.time_base),
            quality=frame.quality,
            b_roi=frame.b_roi,
            b_bg=frame.b_bg,
            roi_share=share,
            skip_share=None if skip is None else float(skip.mean()),
            unmatched_share=None if skip is None else self._skip_maps.unmatched,
            bit_ops=None if mask is None or skip is None else self._bit_ops(frame, mask, skip),
            **sizes,
        )

    def _bit_ops(self, frame: FrameChunk, mask: Mask, skip: Mask) -> int | None:
        if self._networks is None:
            return None
        shape = FrameShape.of(mask, skip, frame.b_roi, frame.b_bg)
        network = self._networks["intra" if frame.kind == INTRA else "inter"]
        return complexity(decoder_layers(network, shape)).bit_ops

    def _read(self, maps: _Maps, chunk: Chunk, frame: FrameChunk) -> Mask | None:
        try:
            return maps.read(frame)
        except StreamError as error:
            self._warn(f"{_KINDS[maps.kind]} of frame {chunk.number}: {error}")
            return None

    def _damaged(self, message: str) -> None:
        self.damages.append(message)
        if self._report is not None:
            self._report(message)


class _Maps:
    """The maps of one kind, frame after frame, each coded with the one before as context."""

    def __init__(self, kind: Kind, shape: tuple[int, int]) -> None:
        self.kind, self._shape = kind, shape
        self._before: Mask | None = None
        self._lost = True
        self.unmatched = 0.0
        """With skip maps: share of the grid without a match in the frame read last."""

    def lose(self) -> None:
        """Maps are unknown from here to the next intra frame."""
        self._lost = True

    def read(self, frame: FrameChunk) -> Mask | None:
        """The frame's map, bool ``[rows, columns]``; None while unknown.

        Raises:
            StreamError: if it is damaged.
        """
        if frame.kind == INTRA:
            self._before, self._lost = None, False
            if self.kind == "skip":
                self.unmatched = 0.0
                return np.zeros(self._shape, np.bool_)
        if self._lost:
            return None
        try:
            if self.kind == "roi":
                self._before = decode_mask(frame.mask, self._shape, self._before)
            else:
                motion = MotionReader(frame.motion, self._shape, self._before)
                self._before = motion.skip
                self.unmatched = 0.0 if motion.unmatched is None else float(motion.unmatched.mean())
        except StreamError:
            self.lose()
            raise
        return self._before


def _header_dict(header: Header) -> dict[str, object]:
    fields = asdict(header)
    return {
        name: str(value) if isinstance(value, Fraction)
        else value.hex() if isinstance(value, bytes)
        else value
        for name, value in fields.items()
    }  # fmt: skip


def _totals_dict(info: StreamInfo) -> dict[str, object]:
    totals, header = info.totals, info.header
    pixels = totals.frames * header.width * header.height
    return {
        "frames": totals.frames,
        "intra_frames": totals.intra,
        "frames_lost": totals.lost,
        "truncated": totals.truncated,
        "seconds": float(info.seconds()),
        "bytes": totals.bytes,
        "bytes_by_part": {
            **totals.parts,
            "header": totals.header,
            "tracks_and_packets": totals.media,
            "index_and_trailer": totals.index,
            "other": totals.other,
            "damaged": totals.damaged,
        },
        "bit_rate": info.bit_rate(totals.bytes),
        "video_bit_rate": info.bit_rate(totals.video),
        "bits_per_pixel": 8 * totals.video / pixels if pixels else None,
        "mean_quality": totals.quality / totals.frames if totals.frames else None,
        "mean_roi_share": totals.roi / totals.roi_frames if totals.roi_frames else None,
    }


def json_lines(info: StreamInfo, *, frames: bool) -> Iterator[str]:
    """One JSON object ``{"header", "frames" (on demand), "totals"}``, in pieces."""
    yield '{"header": ' + json.dumps(_header_dict(info.header)) + ","
    if frames:
        yield ' "frames": ['
    separator = "  "
    for frame in info.frames():
        if frames:
            yield separator + json.dumps({**asdict(frame), "bytes": frame.bytes})
            separator = "  ,"
    if frames:
        yield " ],"
    yield ' "totals": ' + json.dumps(_totals_dict(info)) + "}"


def csv_lines(info: StreamInfo) -> Iterator[str]:
    """A line of names, then a line for each frame."""

    def line(values: list[object]) -> str:
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow(values)
        return out.getvalue()

    names = list(FrameInfo.__dataclass_fields__)
    yield line([*names, "bytes"])
    for frame in info.frames():
        yield line([*(getattr(frame, name) for name in names), frame.bytes])


def text_lines(info: StreamInfo, *, frames: bool) -> Iterator[str]:
    """The listing for people: header, frames on demand, totals."""
    yield from _header_text(info.header)
    if frames:
        yield ""
        yield (
            " frame type        time quality b_roi  b_bg    ROI"
            "   skip    new   SEI   mask motion latents overhead   bytes  GBitOPs"
        )
    for f in info.frames():
        if frames:
            yield (
                f"{f.number:6d} {f.type} {f.time:11.3f} {f.quality:7d} {f.b_roi:5d} {f.b_bg:5d} "
                f"{_percent(f.roi_share):>6} {_percent(f.skip_share):>6} "
                f"{_percent(f.unmatched_share):>6} {f.sei:5d} {f.mask:6d} {f.motion:6d} "
                f"{f.latents:7d} {f.overhead:8d} {f.bytes:7d} {_giga(f.bit_ops):>8}"
            )
    yield ""
    yield from _totals_text(info)


def _header_text(header: Header) -> Iterator[str]:
    rate = f"{float(header.frame_rate):.6g} frames/s" if header.frame_rate else "rate unknown"
    aspect = header.sample_aspect_ratio
    shape = f"{aspect.numerator}:{aspect.denominator}" if aspect else "unspecified"
    candidates = ", ".join(f"{c.bits} ({c.offset:+d})" for c in header.candidates)
    yield (
        f"picture     {header.width}x{header.height}, source {header.pixel_format},"
        f" sample aspect {shape}, rotation {header.rotation}"
    )
    yield (
        f"colour      range {_RANGES.get(header.color_range, header.color_range)}, matrix"
        f" {header.color_matrix}, primaries {header.color_primaries}, transfer"
        f" {header.color_transfer}, chroma location {header.chroma_location}"
    )
    yield f"time        {rate}, time base {header.time_base}"
    yield f"coding      GOP {header.gop}, candidates (quality offset) {candidates}"
    yield f"model       {header.model_id.hex()}, arithmetic {header.arithmetic_id}"
    yield f"encoder     {header.encoder or 'unknown'}"


def _totals_text(info: StreamInfo) -> Iterator[str]:
    t = info.totals
    video = t.video
    state = "".join([f", {t.lost} LOST" if t.lost else "", ", CUT" if t.truncated else ""])
    yield f"frames      {t.frames} ({t.intra} intra{state}), {float(info.seconds()):.3f} s"
    parts = ", ".join(f"{'SEI' if k == 'sei' else k} {v}" for k, v in t.parts.items())
    yield f"video       {video} bytes: {parts}"
    rest = {
        "header": t.header,
        "tracks and packets": t.media,
        "index and trailer": t.index,
        "other": t.other,
        "DAMAGED": t.damaged,
    }
    yield (
        f"stream      {t.bytes} bytes: video {video}"
        + "".join(f", {name} {size}" for name, size in rest.items() if size)
    )
    whole, frames_only = info.bit_rate(t.bytes), info.bit_rate(video)
    pixels = t.frames * info.header.width * info.header.height
    if whole is not None and frames_only is not None and pixels:
        yield (
            f"bit rate    {whole / 1000:.2f} kbit/s, video {frames_only / 1000:.2f} kbit/s,"
            f" {8 * video / pixels:.4f} bit/pixel"
        )
    if t.frames:
        roi = _percent(t.roi / t.roi_frames if t.roi_frames else None)
        mask = _percent(t.parts["mask"] / video)
        yield (
            f"mean        quality index {t.quality / t.frames:.1f}, ROI {roi} of the picture,"
            f" its mask {mask} of the video's bytes"
        )


def _giga(count: int | None) -> str:
    return "?" if count is None else f"{count / 1e9:.4g}"


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{100 * share:.1f}%"
