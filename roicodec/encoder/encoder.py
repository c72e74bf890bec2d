"""From pictures to frame chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.constants import (
    ARITHMETIC_ID,
    INTER,
    INTRA,
    LATENT_EXPONENT,
    QUANTIZER_STEPS,
)
from roicodec.bitstream.entropy import Ints
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Candidate
from roicodec.bitstream.mask_coding import encode_mask
from roicodec.bitstream.masks import Mask
from roicodec.bitstream.motion_section import encode_motion
from roicodec.decoder.frame import Distribution, FrameCore, FrameSetting, Prepared
from roicodec.decoder.latents import LatentChooser, LatentWriter, put_hyper
from roicodec.decoder.model import Model
from roicodec.decoder.planes import pack, padded, plane_of, unpack
from roicodec.decoder.post_filter import FilteredPlane, shown, useful
from roicodec.encoder.effort import DEFAULT_EFFORT, EFFORTS
from roicodec.encoder.intra_cells import marked
from roicodec.encoder.motion.search import search
from roicodec.encoder.motion.x264 import X264Searcher, near_qp
from roicodec.encoder.rate_control import BitrateControl, ConstantQuality, PsnrControl, RateControl
from roicodec.encoder.refinement import LatentRefiner
from roicodec.encoder.roi.features import Features, region_features
from roicodec.encoder.roi.selector import (
    QUALITY_OFFSETS,
    BitWidthSelector,
    fitted_selector,
    quality_offsets,
)
from roicodec.encoder.roi.sources import NoRoi, RoiSource
from roicodec.encoder.skip import SkipTrials, cell_costs
from roicodec.errors import InputError
from roicodec.picture import Picture
from roicodec.psnr import psnr

__all__ = ["Encoder", "EncoderOptions"]

_FALL = 1.4
"""Indices of quality by which a GOP begins above the one asked for, and ends below."""
_INTRA_BOOST = 14
"""Quality indices that an intra frame gets on top, for the frames that lean on it."""

_PRICE = 0.09
"""Squared quantizer steps that a bit is worth when symbols are chosen; in training it is 0.08."""

_PULL = 0.1
"""How far an inter frame moves the features by which bit-widths are chosen towards its own."""

_CUT = 0.6
"""Share of blocks in which libx264 finds no motion worth having, from which a frame is a new scene:
at cuts it is 0.7 to 0.9, in the fastest motion of 170 training clips 0.5."""

_OVERHEAD = 28
"""Bytes of a frame chunk beside its sections."""

Observer = Callable[[FrameSetting, Ints, list[tuple[Distribution, Ints]]], None]
"""Takes a frame's setting, its hyper-latents, and (model, symbols) of each step."""


@dataclass(frozen=True)
class EncoderOptions:
    """How to encode.

    Attributes:
        quality: index 0..63 of inter frames, in the mean of a GOP: the first get 1 more, the last
            1 less; intra frames get more where others follow.
        candidates: bit-widths that frames may use.
        gop: most frames from one intra frame to the next; a new scene begins with one, too.
        bit_rate: mean bits a second of the frame chunks, instead of a quality.
        psnr: mean PSNR (6 Y + U + V) / 8 in dB, instead of a quality.
        frame_rate: frames a second, for ``bit_rate``.
        frames: length of the clip; None when unknown.
        time_base: seconds per unit of the pictures' pts, for ROI sources that go by time.
        effort: 1..9, see :data:`~roicodec.encoder.effort.EFFORTS`.
        roi_strength: 0..2, how far the quality of the regions is apart, see
            :func:`~roicodec.encoder.roi.selector.quality_offsets`.
        complexity: percent of a region's cost that 10^6 BitOPs a pixel of decoding are worth when
            bit-widths are chosen.
    """

    quality: int = 40
    candidates: tuple[int, ...] = (4, 8, 16)
    gop: int = 96
    bit_rate: float | None = None
    psnr: float | None = None
    frame_rate: Fraction = Fraction(25)
    frames: int | None = None
    time_base: Fraction = Fraction(1, 90000)
    effort: int = DEFAULT_EFFORT
    roi_strength: float = 1.0
    complexity: float = 0.0

    def control(self, samples: int) -> RateControl:
        """Who chooses the quality of each frame, of pictures with so many luma samples."""
        boost = _INTRA_BOOST if self.gop > 1 else 0
        if self.bit_rate is not None:
            goal = self.bit_rate / float(self.frame_rate)
            return BitrateControl(goal, samples, gop=self.gop, frames=self.frames, boost=boost)
        if self.psnr is not None:
            return PsnrControl(self.psnr, gop=self.gop, frames=self.frames, boost=boost)
        length = min(self.gop, self.frames or self.gop)
        return ConstantQuality(self.quality, boost, _FALL if length > 2 else 0, length)


def _filters(planes: list[FilteredPlane], picture: Picture) -> tuple[int, int]:
    """The switches of luma and of chroma that bring planes nearest to a picture."""
    return useful(planes[:1], [picture.y]), useful(planes[1:], [picture.u, picture.v])


class Encoder:
    """Encodes one picture after another, in presentation order.

    Args:
        width, height: of the pictures.
        options: how.
        roi: finds the ROI.
        model: the networks.
        selector: picks the bit-widths of every frame; None for the usual one.

    Attributes:
        header_fields: what the stream's header must say of this encoder.
        observer: is shown all symbols of every frame, for fitting tables.
    """

    def __init__(
        self,
        width: int,
        height: int,
        options: EncoderOptions,
        roi: RoiSource,
        model: Model,
        selector: BitWidthSelector | None = None,
    ) -> None:
        unknown = [b for b in options.candidates if b not in QUALITY_OFFSETS]
        if unknown:
            known = ", ".join(str(b) for b in QUALITY_OFFSETS)
            raise InputError(f"candidate {unknown[0]}: the networks have bit-widths {known}")
        offsets = quality_offsets(options.candidates, options.roi_strength)
        self._core = FrameCore(width, height, model, offsets)
        self._options, self._roi = options, roi
        self._effort = EFFORTS[options.effort]
        price = options.complexity / 100 * model.mega_bit_ops(options.candidates)
        self._selector = selector or fitted_selector(options.candidates, price)
        self._refiner = LatentRefiner(model)
        self._control = options.control(width * height)
        start = self._control.quality(INTER)
        self._proposer = X264Searcher(width, height, qp=round(near_qp(start)))
        self._count = self._since = 0
        self._first_pts: int | None = None
        self.observer: Observer | None = None
        self._mask: Mask | None = None
        self._average: Features | None = None
        self._skip: Mask | None = None
        self._before: Picture | None = None
        self.header_fields: dict[str, Any] = {
            "candidates": tuple(Candidate(b, o) for b, o in offsets.items()),
            "model_id": model.id,
            "arithmetic_id": ARITHMETIC_ID,
        }

    @torch.inference_mode()
    def encode(self, picture: Picture) -> tuple[FrameChunk, Picture]:
        """A picture's chunk and its reconstruction, which equals what a decoder will return.

        Raises:
            InputError: if the picture's size is not the stream's.
        """
        core = self._core
        if (picture.width, picture.height) != (core.width, core.height):
            raise InputError(
                f"frame {self._count} has {picture.width}x{picture.height} samples, the first had"
                f" {core.width}x{core.height}; scale the video to one size"
            )
        if self._count == 0 and isinstance(self._control, PsnrControl):
            self._control.tried(lambda quality: self._psnr_at(quality, picture))
        setting = self._setting(picture)
        intra = setting.kind == INTRA
        frame = core.prepare(setting)
        frame, latents, hyper = self._tried(frame, picture)
        setting = frame.setting
        writer = LatentWriter(frame.model.latents, latents, _PRICE)
        if frame.layout.parts:
            put_hyper(writer.encoder, hyper, frame.model.hyper)
        decoded = core.latents(frame, hyper, writer)
        if self.observer:
            self.observer(setting, hyper, writer.coded)
        previous_vectors = core.previous_vectors
        planes = core.reconstruct(frame, decoded)
        filters = _filters(planes, picture)
        made = core.picture(planes, filters, picture.pts, picture.duration)
        chunk = FrameChunk(
            b_roi=setting.b_roi,
            b_bg=setting.b_bg,
            kind=setting.kind,
            quality=setting.quality,
            pts=picture.pts,
            duration=picture.duration,
            filters=filters,
            mask=encode_mask(setting.mask, None if intra else self._mask),
            motion=b""
            if setting.vectors is None
            else encode_motion(
                setting.skip, self._skip, setting.vectors, previous_vectors, setting.unmatched
            ),
            latents=writer.encoder.finish(),
            crc32=made.crc32(),
        )
        self._mask, self._skip, self._before = setting.mask, setting.skip, picture
        self._count += 1
        self._since = 1 if intra else self._since + 1
        sections = (chunk.mask, chunk.motion, chunk.latents)
        bits = 8 * (sum(map(len, sections)) + _OVERHEAD)
        self._control.coded(setting.kind, setting.quality, bits, psnr(picture, made)[3])
        return chunk, made

    def missed(self) -> str:
        """In one line, how far the stream is from the bit rate or PSNR asked for; empty if near."""
        return self._control.missed()

    def _psnr_at(self, quality: int, picture: Picture) -> float:
        """PSNR (6 Y + U + V) / 8 in dB of a picture coded intra, without ROI, in a hurry."""
        size = self._core.width, self._core.height
        options = EncoderOptions(quality=quality, gop=1, effort=1)
        _, made = Encoder(*size, options, NoRoi(*size), self._core.model).encode(picture)
        return psnr(picture, made)[3]

    def _setting(self, picture: Picture) -> FrameSetting:
        due = self._since % self._options.gop == 0
        proposed = self._proposer.push(picture, key=due)
        if proposed is not None and proposed.missing.mean() > _CUT:
            proposed = self._before = None
        intra = proposed is None
        quality = self._control.quality(INTRA if intra else INTER)
        vectors = None
        if proposed is not None:
            reference = self._core.reference
            assert reference is not None
            luma = reference.planes[0][0].numpy(force=True).astype(np.uint8)
            vectors = search(
                picture,
                proposed,
                luma,
                reference.vectors,
                step=float(QUANTIZER_STEPS[quality]),
                sweeps=self._effort.sweeps,
            )
        if self._first_pts is None:
            self._first_pts = picture.pts
        time = float((picture.pts - self._first_pts) * self._options.time_base)
        mask = self._roi.mask(self._count, time, picture, self._before)
        features = region_features(picture, vectors, mask)
        if mask.any() and not mask.all():
            features = self._steady(features, intra)
        b_roi, b_bg = self._selector.choose(features, mask, inter=not intra)
        return FrameSetting(INTRA if intra else INTER, quality, b_roi, b_bg, mask, vectors)

    def _steady(self, features: Features, intra: bool) -> Features:
        """Features averaged since the intra frame: bit-widths that alternate cost more than either,
        for what one frame coarsens the next refines."""
        if intra:
            self._average = None
            return features
        before = self._average
        self._average = features if before is None else before + _PULL * (features - before)
        return self._average

    def _tried(
        self, frame: Prepared, picture: Picture
    ) -> tuple[Prepared, NDArray[np.float32], Ints]:
        """A frame with the marks and the skip map that trials have shown to pay, its latents
        before quantization where trials have shown that they err less, and its hyper-latents."""
        intra = frame.setting.kind == INTRA
        samples = pack(padded(picture))
        if not intra and self._effort.trials:
            frame = marked(frame, samples, self._core.prepare, lambda f: self._costs(f, samples))
        skip = None if intra else SkipTrials(frame, samples)
        moves = np.zeros(1, np.float32)
        latents, hyper = self._analysed(frame, samples)
        for _ in range(self._effort.intra_trials if intra else self._effort.trials):
            if not frame.layout.parts:
                break
            trial = LatentChooser(frame.model.latents, latents + moves, _PRICE)
            decoded = self._core.latents(frame, hyper, trial)
            made, _ = self._core.synthesise(frame, decoded)
            error = self._shown(frame, made, picture) - samples
            moves = moves + self._refiner(frame, trial.target, decoded, error)
            if skip is not None:
                skipped = skip.after(frame, made, trial.bits(frame.model.network.latents))
                frame = self._core.prepare(replace(frame.setting, skip=skipped), like=frame)
                latents, hyper = self._analysed(frame, samples)
        return frame, latents + moves, hyper

    def _costs(self, frame: Prepared, samples: Tensor) -> NDArray[np.float64]:
        """D + lambda R of every cell in a trial, ``[H/16, W/16]``."""
        latents, hyper = self._analysed(frame, samples)
        trial = LatentChooser(frame.model.latents, latents, _PRICE)
        made, _ = self._core.synthesise(frame, self._core.latents(frame, hyper, trial))
        return cell_costs(frame, made, samples, trial.bits(frame.model.network.latents))

    def _shown(self, frame: Prepared, made: Tensor, picture: Picture) -> Tensor:
        """Packed samples of what a trial would show, behind the post-filter."""
        core = self._core
        planes = core.filtered(frame, unpack(made, core.padded_width, core.padded_height))
        return pack([plane_of(plane) for plane in shown(planes, _filters(planes, picture))])

    def _analysed(self, frame: Prepared, samples: Tensor) -> tuple[NDArray[np.float32], Ints]:
        """Latents before quantization, flattened, in latent integers, and quantized hyper-latents;
        zeros where nothing is computed."""
        network = frame.model.network
        if not frame.layout.parts:
            return np.zeros(1, np.float32), np.zeros(self._core.hyper_shape, np.int32)
        latents = network.analyse(
            frame.layout, samples - frame.prediction, frame.quality, frame.context
        )
        z = network.hyper_analyse(frame.layout, latents).numpy(force=True)
        step = network.hyper_step[frame.setting.quality] * 2.0**LATENT_EXPONENT
        hyper = np.rint(z / step).astype(np.int32).reshape(self._core.hyper_shape)
        return latents.numpy(force=True).ravel().astype(np.float32), hyper
