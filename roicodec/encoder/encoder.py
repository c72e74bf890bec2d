"""Encoder of pictures to frame chunks: decide, try, write.

::

    picture ── decide (setting) ── try (skip, intra cells, latents) ── write (chunk)
                   ^                                                      │
                   └──────────────────── reference ───────────────────────┘
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from roicodec.bitstream.constants import (
    ARITHMETIC_ID,
    INTER,
    INTRA,
    MAPS_ALL,
    MAPS_INTRA,
    MAX_QUALITY,
    NO_MAPS,
)
from roicodec.bitstream.entropy import Ints
from roicodec.bitstream.frame_chunk import FrameChunk, Place
from roicodec.bitstream.header import Candidate
from roicodec.bitstream.mask_coding import encode_mask
from roicodec.bitstream.masks import samples_of
from roicodec.bitstream.motion_section import Bidirectional, encode_motion
from roicodec.bitstream.quality_map import decode_map, encode_map
from roicodec.bitstream.reference_buffer import ReferenceBuffer
from roicodec.decoder.coding_step import Distribution
from roicodec.decoder.frame import FrameCodec, FrameSetting, PreparedFrame
from roicodec.decoder.latents import put_hyper
from roicodec.decoder.model import Model
from roicodec.decoder.references import References, expected_motion
from roicodec.encoder.buffer_control import BufferControl
from roicodec.encoder.decisions import (
    Arrived,
    FeatureAverage,
    FrameDecisions,
    Source,
    bit_width_selector,
)
from roicodec.encoder.effort import EFFORTS, Effort
from roicodec.encoder.gop import (
    Planned,
    Prices,
    mini_gop,
    prices,
    references_kept,
)
from roicodec.encoder.maps import Steps, by_importance
from roicodec.encoder.motion.search import SearchPlane
from roicodec.encoder.options import EncoderOptions, rate_control
from roicodec.encoder.rate_control import PsnrControl, RateControl
from roicodec.encoder.rdoq import LatentWriter
from roicodec.encoder.roi.selector import BitWidthSelector, quality_offsets
from roicodec.encoder.roi.sources import NoRoi, RoiSource
from roicodec.encoder.structure import Tried, structure
from roicodec.encoder.trials import FrameTrials, TriedFrame, filter_switches
from roicodec.encoder.zones import zone_shift
from roicodec.errors import InputError
from roicodec.picture import Picture
from roicodec.psnr import psnr, psnr_regions

__all__ = ["CodedFrame", "FrameEncoder"]

_OVERHEAD = 28
"""Bytes of a frame chunk beside its sections."""


@dataclass(frozen=True, eq=False)
class CodedFrame:
    """A frame as it was coded.

    Attributes:
        chunk: for the stream.
        reconstruction: the picture that a decoder returns.
        setting: everything that the chunk says before its latents.
        hyper: hyper-latents, int32 ``[Hp/32, Wp/32, 32]``.
        symbols: model and symbols of each coding step.
        references: that it refers to.
    """

    chunk: FrameChunk
    reconstruction: Picture
    setting: FrameSetting
    hyper: Ints
    symbols: list[tuple[Distribution, Ints]]
    references: References


@dataclass(eq=False)
class _State:
    """What the next frame depends on: as it is after one way of coding those before.

    Attributes:
        buffer: references.
        average: of the features of the regions.
        newest: the reference that was coded last.
    """

    buffer: ReferenceBuffer[Source]
    average: FeatureAverage
    newest: Source | None = None

    def fork(self) -> _State:
        """A state that can be changed without changing this one."""
        return _State(copy(self.buffer), copy(self.average), self.newest)


@dataclass(frozen=True, eq=False)
class _Group:
    """Frames that were coded at one base quality, in coding order.

    Attributes:
        base: quality index before offsets.
        pairs: each picture and its frame.
        after: the state that they leave.
        of_roi: whether the PSNR of the ROI is measured.
    """

    base: int
    pairs: list[tuple[Picture, CodedFrame]]
    after: _State
    of_roi: bool

    @property
    def bits(self) -> int:
        """Of all frames."""
        return sum(8 * (_section_bytes(made.chunk) + _OVERHEAD) for _, made in self.pairs)

    def psnr(self) -> float:
        """Mean PSNR (6 Y + U + V) / 8 of the frames, in dB."""
        return fmean(_decibels(picture, made, of_roi=self.of_roi) for picture, made in self.pairs)


def _decibels(picture: Picture, made: CodedFrame, *, of_roi: bool) -> float:
    """PSNR (6 Y + U + V) / 8 of a frame, or of its ROI where there is one, in dB."""
    if of_roi and made.setting.mask.any():
        mask = samples_of(made.setting.mask, picture.width, picture.height)
        return psnr_regions(picture, made.reconstruction, mask).roi_yuv
    return psnr(picture, made.reconstruction)[3]


class FrameEncoder:
    """Encoder of one video's pictures, taken in presentation order.

    Args:
        width, height: size of the pictures.
        options: of the encoder.
        roi: finds the ROI.
        model: the networks.
        selector: picks the bit-widths of every frame; None for the fitted one.
        control: chooses the quality of every frame; None for that of the options.
        effort: what is tried; None for that of the options.
        price: of symbols, instead of that of each layer; 0 rounds latents to the nearest.

    Attributes:
        header_fields: what the stream's header must say of this encoder.
        codec: the frame codec.
    """

    def __init__(
        self,
        width: int,
        height: int,
        options: EncoderOptions,
        roi: RoiSource,
        model: Model,
        selector: BitWidthSelector | None = None,
        *,
        control: RateControl | None = None,
        effort: Effort | None = None,
        price: float | None = None,
    ) -> None:
        effort = effort or EFFORTS[options.effort]
        offsets = quality_offsets(options.candidates, options.roi_strength)
        self.codec = FrameCodec(width, height, model, offsets)
        self._control = control or rate_control(options, width * height)
        selector = selector or bit_width_selector(options, model, roi)
        self._decisions = FrameDecisions(options, effort, roi, selector)
        self._trials = FrameTrials(self.codec, effort)
        self._options, self._price = options, price
        self._count = 0
        self._structure = structure(options.structure, options.lookahead)
        self._waiting: list[Arrived] = []
        self._intra: Arrived | None = None
        self._intra_offset = self._structure.intra_offset if options.gop > 1 else 0
        self._tree = options.tree if options.gop > 1 and self._structure.longest > 1 else 0.0
        zoned = any(zone.strength is not None for zone in options.zones)
        short = options.max_rate is not None and not isinstance(roi, NoRoi)
        everywhere = options.tune == "ssim" or options.roi_grades or zoned or short
        self._maps = MAPS_ALL if everywhere else MAPS_INTRA if self._tree else NO_MAPS
        references = references_kept(self._structure.longest)
        self._state = _State(ReferenceBuffer(references), FeatureAverage())
        self.header_fields: dict[str, Any] = {
            "candidates": tuple(Candidate(b, o) for b, o in offsets.items()),
            "model_id": model.id,
            "arithmetic_id": ARITHMETIC_ID,
            "references": references,
            "maps": self._maps,
        }

    def encode(self, picture: Picture | None) -> list[CodedFrame]:
        """Frames that are ready to be written, in coding order.

        Args:
            picture: the next one; None at the end of the video, to get what is left.

        Raises:
            InputError: if the picture's size is not the video's.
        """
        if picture is None:
            return self._ready(ended=True)
        codec = self.codec
        if (picture.width, picture.height) != (codec.width, codec.height):
            raise InputError(
                f"frame {self._count} has {picture.width}x{picture.height} samples, the first had"
                f" {codec.width}x{codec.height}; scale the video to one size"
            )
        if self._count == 0 and isinstance(self._control, PsnrControl):
            boost = self._intra_offset
            self._control.tried(lambda quality: self._intra_psnr(quality, picture), boost)
        newest = self._state.newest if self._structure.longest == 1 else None
        arrived = self._decisions.arrive(picture, self._control.quality(INTER), newest)
        self._count += 1
        if arrived.vectors is None:
            before = self._ready(ended=True)
            self._structure.begin()
            self._intra = arrived
            return before if self._tree else [*before, *self._coded_intra([])]
        self._waiting.append(arrived)
        return self._ready(ended=False)

    def _ready(self, *, ended: bool) -> list[CodedFrame]:
        """Frames that wait, in coding order, as far as their structure is chosen.

        Args:
            ended: whether an intra frame or nothing follows those that wait.
        """
        coded: list[CodedFrame] = []
        while self._waiting:
            prices = [arrived.price for arrived in self._waiting]
            lengths = self._structure.lengths(prices, ended=ended)
            if not lengths:
                break
            group = self._waiting[: max(lengths)]
            del self._waiting[: max(lengths)]
            coded += self._coded_intra(group)
            coded += self._kept(INTER, self._best(group, lengths))
        if ended:
            coded += self._coded_intra([])
        return coded

    def _coded_intra(self, group: list[Arrived]) -> list[CodedFrame]:
        """The intra frame that waits, if there is one.

        Args:
            group: the frames behind it, as far as they are known.
        """
        intra, self._intra = self._intra, None
        if intra is None:
            return []
        relative = []
        if group and self._tree:
            base, planned = self._control.quality(INTER), mini_gop(len(group))
            found = self._decisions.importance(intra, group, planned, base)
            relative.append(by_importance(found, self._tree))
        plan = [Planned(1, INTRA, offset=self._intra_offset)]
        return self._kept(INTRA, self._mini_gops([intra], plan, relative))

    def _best(self, group: list[Arrived], lengths: Sequence[int]) -> _Group:
        """The frames, coded by mini-GOPs of the best of some lengths."""
        start = self._state
        tried = []
        for length in lengths:
            self._state = start.fork()
            tried.append(self._mini_gops(group, mini_gop(length)))
        if len(tried) == 1:
            return tried[0]
        results = [Tried(made.bits, made.psnr()) for made in tried]
        best = tried[self._structure.best(results, tried[0].base)]
        self._state = best.after
        return best

    def _mini_gops(
        self, group: list[Arrived], planned: Sequence[Planned], relative: Sequence[Steps] = ()
    ) -> _Group:
        """Frames, coded by mini-GOPs that are all planned alike, or an intra frame."""
        kind = INTRA if planned[0].kind == INTRA else INTER
        base, control = self._control.quality(kind), self._control
        shortfall = control.shortfall(kind) if isinstance(control, BufferControl) else 0
        pairs = []
        for start in range(0, len(group), len(planned)):
            for p in planned:
                arrived = group[start + p.number - 1]
                pairs.append((arrived.picture, self._coded(arrived, p, base, relative, shortfall)))
        return _Group(base, pairs, self._state, self._options.roi_psnr is not None)

    def _kept(self, kind: int, group: _Group) -> list[CodedFrame]:
        """Frames that will be written; the controller learns of them."""
        coded = [made for _, made in group.pairs]
        self._control.coded(kind, group.base, group.bits, group.psnr, len(coded))
        return coded

    def _coded(
        self,
        arrived: Arrived,
        planned: Planned,
        base: int,
        relative: Sequence[Steps],
        shortfall: int,
    ) -> CodedFrame:
        place, state = planned.place, self._state
        sources = state.buffer.references(planned.kind, place, arrived.number)
        time = arrived.picture.pts * self._options.time_base
        shift = zone_shift(self._options.zones, self._options.quality, time)
        quality = min(max(base + planned.offset + shift, 0), MAX_QUALITY)
        setting = self._decisions.setting(
            arrived, place, quality, sources, state.average, relative, shortfall
        )
        worth = prices(place.layer)
        if self._price is not None:
            worth = replace(worth, symbols=self._price)
        frame = self.codec.prepare(setting, tuple(source.reference for source in sources))
        tried = self._trials.run(frame, arrived.picture, worth)
        return self._written(tried, arrived, place, worth)

    def missed(self) -> str:
        """One line on how far the stream is from the goal of bit rate or PSNR; empty if near."""
        return self._control.missed()

    def _intra_psnr(self, quality: int, picture: Picture) -> float:
        """PSNR (6 Y + U + V) / 8 in dB of a picture coded intra, without ROI, at least effort."""
        size = self.codec.width, self.codec.height
        options = EncoderOptions(quality=quality, gop=1, effort=min(EFFORTS))
        encoder = FrameEncoder(*size, options, NoRoi(*size), self.codec.model)
        return psnr(picture, encoder.encode(picture)[0].reconstruction)[3]

    def _written(
        self, tried: TriedFrame, arrived: Arrived, place: Place, worth: Prices
    ) -> CodedFrame:
        """The coded frame, kept for those that refer to it."""
        codec, frame, setting = self.codec, tried.frame, tried.frame.setting
        picture = arrived.picture
        before = frame.references[0] if frame.references else None
        writer = LatentWriter(frame.model.latent_tables, tried.target, worth.symbols)
        if frame.layout.parts:
            put_hyper(writer.encoder, tried.hyper, frame.model.hyper_tables)
        coded = codec.code_latents(frame, tried.hyper, writer)
        offsets, known = b"", before.offsets if before else None
        if self._maps == MAPS_ALL or setting.kind == INTRA:
            offsets = encode_map(setting.offsets, setting.computed, known)
            # Cells that are not computed have what a decoder expects there.
            setting = replace(setting, offsets=decode_map(offsets, setting.computed, known))
        made = codec.reconstruct(replace(frame, setting=setting), coded)
        planes = codec.filtered(frame, made.planes)
        filters = filter_switches(planes, picture)
        shown = codec.picture(planes, filters, picture.pts, picture.duration)
        chunk = FrameChunk(
            b_roi=setting.b_roi,
            b_bg=setting.b_bg,
            kind=setting.kind,
            quality=setting.quality,
            pts=picture.pts,
            duration=picture.duration,
            filters=filters,
            mask=encode_mask(setting.mask, before.mask if before else None),
            motion=_motion_section(frame, place),
            latents=writer.encoder.finish(),
            crc32=shown.crc32(),
            place=place,
            offsets=offsets,
        )
        if place.kept:
            newest = Source(made, SearchPlane(made.planes[0]))
            self._state.newest = newest
            self._state.buffer.keep(arrived.number, newest)
        return CodedFrame(chunk, shown, setting, tried.hyper, writer.coded, frame.references)


def _section_bytes(chunk: FrameChunk) -> int:
    return sum(chunk.sections.values())


def _motion_section(frame: PreparedFrame, place: Place) -> bytes:
    setting, motion = frame.setting, frame.setting.motion
    if motion is None:
        return b""
    past, future = expected_motion(frame.references, place.past, place.future)
    both = None
    if motion.future is not None and motion.modes is not None:
        both = Bidirectional(motion.future, motion.modes, future)
    before = frame.references[0].skip
    return encode_motion(setting.skip, before, motion.vectors, past, setting.unmatched, both)
