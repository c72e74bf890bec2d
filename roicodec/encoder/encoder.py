"""From pictures to frame chunks: decide, try, write.

::

    picture ── decide (setting) ── try (skip, intra cells, latents) ── write (chunk)
                   ^                                                      │
                   └──────────────────── reference ───────────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from roicodec.bitstream.constants import ARITHMETIC_ID, INTRA
from roicodec.bitstream.entropy import Ints
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Candidate
from roicodec.bitstream.mask_coding import encode_mask
from roicodec.bitstream.masks import Mask
from roicodec.bitstream.motion_section import encode_motion
from roicodec.decoder.frame import Distribution, FrameCodec, FrameSetting
from roicodec.decoder.latents import put_hyper
from roicodec.decoder.model import Model
from roicodec.decoder.references import Reference
from roicodec.encoder.decisions import FrameDecisions, bit_width_selector
from roicodec.encoder.effort import EFFORTS, Effort
from roicodec.encoder.options import EncoderOptions, rate_control
from roicodec.encoder.rate_control import PsnrControl, RateControl
from roicodec.encoder.rdoq import LAMBDA, LatentWriter
from roicodec.encoder.roi.selector import BitWidthSelector, quality_offsets
from roicodec.encoder.roi.sources import NoRoi, RoiSource
from roicodec.encoder.trials import FrameTrials, TriedFrame, filter_switches
from roicodec.errors import InputError
from roicodec.picture import Picture
from roicodec.psnr import psnr

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
    """

    chunk: FrameChunk
    reconstruction: Picture
    setting: FrameSetting
    hyper: Ints
    symbols: list[tuple[Distribution, Ints]]


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
        lambda_: squared quantizer steps that a bit is worth when symbols are chosen.

    Attributes:
        header_fields: what the stream's header must say of this encoder.
        codec: the frame codec.
        reference: the frame that the next one refers to; None before the first.
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
        lambda_: float = LAMBDA,
    ) -> None:
        effort = effort or EFFORTS[options.effort]
        offsets = quality_offsets(options.candidates, options.roi_strength)
        self.codec = FrameCodec(width, height, model, offsets)
        self._control = control or rate_control(options, width * height)
        selector = selector or bit_width_selector(options, model, roi)
        self._decisions = FrameDecisions(options, effort, self._control, roi, selector)
        self._trials = FrameTrials(self.codec, effort, lambda_)
        self._lambda = lambda_
        self._count = 0
        self.reference: Reference | None = None
        self._mask: Mask | None = None
        self._skip: Mask | None = None
        self.header_fields: dict[str, Any] = {
            "candidates": tuple(Candidate(b, o) for b, o in offsets.items()),
            "model_id": model.id,
            "arithmetic_id": ARITHMETIC_ID,
        }

    @torch.inference_mode()
    def encode(self, picture: Picture | None) -> list[CodedFrame]:
        """Frames that are ready to be written, in coding order.

        Args:
            picture: the next one; None at the end of the video, to get what is left.

        Raises:
            InputError: if the picture's size is not the video's.
        """
        if picture is None:
            return []
        codec = self.codec
        if (picture.width, picture.height) != (codec.width, codec.height):
            raise InputError(
                f"frame {self._count} has {picture.width}x{picture.height} samples, the first had"
                f" {codec.width}x{codec.height}; scale the video to one size"
            )
        if self._count == 0 and isinstance(self._control, PsnrControl):
            self._control.tried(lambda quality: self._intra_psnr(quality, picture))
        setting = self._decisions.setting(picture, self.reference)
        tried = self._trials.run(codec.prepare(setting, self.reference), picture)
        self._count += 1
        return [self._written(tried, picture)]

    def missed(self) -> str:
        """In one line, how far the stream is from the bit rate or PSNR asked for; empty if near."""
        return self._control.missed()

    def _intra_psnr(self, quality: int, picture: Picture) -> float:
        """PSNR (6 Y + U + V) / 8 in dB of a picture coded intra, without ROI, at least effort."""
        size = self.codec.width, self.codec.height
        options = EncoderOptions(quality=quality, gop=1, effort=min(EFFORTS))
        encoder = FrameEncoder(*size, options, NoRoi(*size), self.codec.model)
        return psnr(picture, encoder.encode(picture)[0].reconstruction)[3]

    def _written(self, tried: TriedFrame, picture: Picture) -> CodedFrame:
        """The coded frame; the next one refers to it."""
        codec, frame, setting = self.codec, tried.frame, tried.frame.setting
        intra = setting.kind == INTRA
        writer = LatentWriter(frame.model.latent_tables, tried.target, self._lambda)
        if frame.layout.parts:
            put_hyper(writer.encoder, tried.hyper, frame.model.hyper_tables)
        made = codec.reconstruct(frame, codec.code_latents(frame, tried.hyper, writer))
        planes = codec.filtered(frame, made.planes)
        filters = filter_switches(planes, picture)
        shown = codec.picture(planes, filters, picture.pts, picture.duration)
        motion = b""
        if setting.vectors is not None and frame.reference is not None:
            motion = encode_motion(
                setting.skip, self._skip, setting.vectors, frame.reference.vectors,
                setting.unmatched,
            )  # fmt: skip
        chunk = FrameChunk(
            b_roi=setting.b_roi,
            b_bg=setting.b_bg,
            kind=setting.kind,
            quality=setting.quality,
            pts=picture.pts,
            duration=picture.duration,
            filters=filters,
            mask=encode_mask(setting.mask, None if intra else self._mask),
            motion=motion,
            latents=writer.encoder.finish(),
            crc32=shown.crc32(),
        )
        self.reference, self._mask, self._skip = made, setting.mask, setting.skip
        bits = 8 * (len(chunk.mask) + len(chunk.motion) + len(chunk.latents) + _OVERHEAD)
        self._control.coded(setting.kind, setting.quality, bits, lambda: psnr(picture, shown)[3])
        return CodedFrame(chunk, shown, setting, tried.hyper, writer.coded)
