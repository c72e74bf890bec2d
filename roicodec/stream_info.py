"""Listing of a stream, byte by byte: needs no model (but for BitOPs) and no torch.

Works from front to back, so also from a pipe, and keeps only sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Self

import numpy as np

from roicodec.bitstream import sei
from roicodec.bitstream.chunks import PACKET, TRACK, Chunk, Damage
from roicodec.bitstream.constants import BIDIRECTIONAL, FRAME_TYPES, INTRA, MAP_STEP
from roicodec.bitstream.frame_chunk import FrameChunk, has_map
from roicodec.bitstream.header import Header
from roicodec.bitstream.mask_coding import Kind, decode_mask
from roicodec.bitstream.masks import Mask, computed_cells, grid_shape
from roicodec.bitstream.motion_section import MotionReader
from roicodec.bitstream.presentation_order import PresentationOrder
from roicodec.bitstream.quality_map import QualityMap, decode_map
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.reference_buffer import ReferenceBuffer
from roicodec.errors import ReferenceLost, StreamError
from roicodec.stream_contents import StreamContents
from roicodec.warning_limit import WarningLimit

if TYPE_CHECKING:
    from roicodec.decoder.weights import Arrays

__all__ = ["PARTS", "FrameInfo", "StreamInfo", "Totals"]

PARTS = ("sei", "mask", "motion", "map", "latents", "overhead")
"""Parts of a frame chunk that bytes are counted under; overhead is all that is not the others."""

_KINDS: dict[Kind, str] = {"roi": "mask", "skip": "skip map"}


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """One frame of the listing.

    Attributes:
        number: in the order of presentation, from 0.
        type: ``"intra"``, ``"inter"`` or ``"bidirectional"``.
        time: presentation time in seconds.
        quality: quality index, 0..63.
        b_roi, b_bg: bit-widths.
        roi_share: share of the 16x16 grid that is ROI, 0..1; None when a loss hides the mask.
        bit_ops: BitOPs of decoding it (``docs/complexity.md``); None when the mask is hidden, or
            the stream's model is not installed.
        skip_share: share of the grid where the prediction stands, 0..1, by the skip map alone; None
            when a loss hides the map.
        unmatched_share: share of the grid without a match in the reference, 0..1; None likewise.
        bit_ops_8: BitOPs if it had 8 bits everywhere and skipped the same cells; None likewise.
        layer: temporal layer, 0 for those that lower layers do without.
        sei, mask, motion, map, latents, overhead: bytes, together those of the chunk; the skip map
            is in motion, map is the quality map, the hyper-latents are in latents.
        map_mean, map_spread: mean and standard deviation of the quality map over the cells that are
            computed, in quality indices; None when a loss hides it.
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
    map: int
    latents: int
    overhead: int
    skip_share: float | None = None
    unmatched_share: float | None = None
    bit_ops: int | None = None
    layer: int = 0
    bit_ops_8: int | None = None
    map_mean: float | None = 0.0
    map_spread: float | None = 0.0

    @property
    def bytes(self) -> int:
        return self.sei + self.mask + self.motion + self.map + self.latents + self.overhead


@dataclass(slots=True)
class Totals:
    """Sums over a stream; complete once it was read to its end.

    Attributes:
        frames, intra, bidirectional: number of whole frames, and of these types among them.
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
    bidirectional: int = 0
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
    """Listing of a stream while it is read.

    Args:
        reader: at the start of its stream.
        warn: takes a line for each damage: the first ten, then the number of the others. None
            where ``damages`` is enough.
        take_mask: gets the number and the mask of every whole frame in the order of presentation,
            None for a mask that a loss hides.
        networks: arrays of the model; BitOPs are counted if it is the stream's.

    Attributes:
        header: of the stream.
        totals: sums over what was read.
        damages: lines on damages so far: the first ten, then the number of the others.
        frame_list: every whole frame, after :meth:`read`.
        contents: tracks, chapters and tags; complete once the stream was read to its end.
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
        self.contents = StreamContents(self._warn)
        self.damages: list[str] = []
        self.frame_list: list[FrameInfo] = []
        self._take_mask = take_mask
        self._masks: PresentationOrder[tuple[int, Mask | None]] = PresentationOrder()
        self.header: Header = reader.header
        shape = grid_shape(self.header.width, self.header.height)
        self._roi_maps, self._skip_maps = (
            _Maps(kind, shape, self.header.references) for kind in _KINDS
        )
        self._quality_maps: ReferenceBuffer[QualityMap | None]
        self._quality_maps = ReferenceBuffer(self.header.references)
        self.totals = Totals(header=reader.header_size)
        self._networks: Mapping[str, Arrays] | None = None
        if networks is not None:
            from roicodec.decoder.weights import model_id

            if model_id(networks) == reader.header.model_id:
                self._networks = networks

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
            elif item.frame is not None:
                yield self._count(item, item.frame)
            elif item.type == TRACK:
                totals.media += item.size
                self.contents.take_tracks(item)
            elif item.type == PACKET:
                totals.media += item.size
                self.contents.take_packet(item)
            elif item.type in ("INDX", "TAIL"):
                totals.index += item.size
            else:
                totals.other += item.size
        self._give_masks(self._masks.rest())
        self._warn.finish()
        totals.lost = self._reader.frames_lost
        totals.truncated = self._reader.truncated

    def seconds(self) -> Fraction:
        """Duration from the first frame to the end of the last; 0 when unknown."""
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
        shown = chunk.number + frame.place.shift
        try:
            self._masks.check(shown)
        except StreamError as error:
            self._warn(f"frame {chunk.number} at byte {chunk.offset}: {error}")
        else:
            self._masks.reach(shown if frame.kind == INTRA else shown - frame.place.past)
            self._give_masks(self._masks.add(shown, (shown, mask)))
        spread = self._map_spread(chunk, frame, mask, skip)
        sizes = {"sei": sei.SIZE, **frame.sections}
        sizes["overhead"] = chunk.size - sum(sizes.values())
        totals = self.totals
        coded, eight = self._bit_ops(frame, mask, skip)
        totals.frames += 1
        totals.intra += frame.kind == INTRA
        totals.bidirectional += frame.kind == BIDIRECTIONAL
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
            number=shown,
            type=FRAME_TYPES[frame.kind],
            time=float(frame.pts * self.header.time_base),
            quality=frame.quality,
            b_roi=frame.b_roi,
            b_bg=frame.b_bg,
            roi_share=share,
            skip_share=None if skip is None else float(skip.mean()),
            unmatched_share=None if skip is None else self._skip_maps.unmatched,
            bit_ops=coded,
            bit_ops_8=eight,
            layer=frame.place.layer,
            map_mean=None if spread is None else spread[0],
            map_spread=None if spread is None else spread[1],
            **sizes,
        )

    def _give_masks(self, masks: list[tuple[int, Mask | None]]) -> None:
        if self._take_mask is not None:
            for number, mask in masks:
                self._take_mask(number, mask)

    def _bit_ops(
        self, frame: FrameChunk, mask: Mask | None, skip: Mask | None
    ) -> tuple[int | None, int | None]:
        """BitOPs of a frame as coded, and in 8 bits without a ROI; None where unknown."""
        if self._networks is None or mask is None or skip is None:
            return None, None
        from roicodec.decoder.complexity import complexity
        from roicodec.decoder.shapes import FrameShape, decoder_layers

        network = self._networks["intra" if frame.kind == INTRA else "inter"]
        coded = FrameShape.of(mask, skip, frame.b_roi, frame.b_bg)
        eight = FrameShape.of(np.zeros_like(mask), skip, 8, 8)
        counts = [complexity(decoder_layers(network, s)).bit_ops for s in (coded, eight)]
        return counts[0], counts[1]

    def _map_spread(
        self, chunk: Chunk, frame: FrameChunk, mask: Mask | None, skip: Mask | None
    ) -> tuple[float, float] | None:
        """Mean and standard deviation of a frame's quality map; None where a loss hides it."""
        if not has_map(self.header, frame.kind):
            return 0.0, 0.0
        number = chunk.number + frame.place.shift
        try:
            references = self._quality_maps.references(frame.kind, frame.place, number)
            if mask is None or skip is None:
                return None
            computed = computed_cells(mask, skip, frame.b_roi, frame.b_bg)
            found = decode_map(frame.offsets, computed, references[0] if references else None)
        except ReferenceLost:
            return None
        except StreamError as error:
            self._warn(f"quality map of frame {chunk.number}: {error}")
            return None
        if frame.place.kept:
            self._quality_maps.keep(number, found)
        if found is None or not computed.any():
            return 0.0, 0.0
        steps = MAP_STEP * found[computed].astype(np.float64)
        return float(steps.mean()), float(steps.std())

    def _read(self, maps: _Maps, chunk: Chunk, frame: FrameChunk) -> Mask | None:
        try:
            return maps.read(frame, chunk.number + frame.place.shift)
        except StreamError as error:
            self._warn(f"{_KINDS[maps.kind]} of frame {chunk.number}: {error}")
            return None

    def _damaged(self, message: str) -> None:
        self.damages.append(message)
        if self._report is not None:
            self._report(message)


class _Maps:
    """Maps of one kind in coding order, each coded with that of its past reference as context."""

    def __init__(self, kind: Kind, shape: tuple[int, int], references: int) -> None:
        self.kind, self._shape = kind, shape
        self._buffer: ReferenceBuffer[Mask | None] = ReferenceBuffer(references)
        self.unmatched = 0.0
        """With skip maps: share of the grid without a match in the frame read last."""

    def read(self, frame: FrameChunk, number: int) -> Mask | None:
        """The map of frame ``number`` in the order of presentation, bool ``[rows, columns]``; None
        where one that it needs is lost.

        Raises:
            StreamError: if it is damaged.
        """
        try:
            references = self._buffer.references(frame.kind, frame.place, number)
        except ReferenceLost:
            return None
        before = references[0] if references else None
        context: Mask | None
        if self.kind == "roi":
            made = context = decode_mask(frame.mask, self._shape, before)
        elif frame.kind == INTRA:
            made, context, self.unmatched = np.zeros(self._shape, np.bool_), None, 0.0
        else:
            motion = MotionReader(frame.motion, self._shape, before)
            made = context = motion.skip
            self.unmatched = 0.0 if motion.unmatched is None else float(motion.unmatched.mean())
        if frame.place.kept:
            self._buffer.keep(number, context)
        return made
