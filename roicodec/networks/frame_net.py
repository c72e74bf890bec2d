"""The frame networks in float: analysis, synthesis, hyperprior and four-step entropy model.

One class serves both frame types: an inter network reads, besides the frame, a context computed
from the motion-compensated prediction and the features of the previous frame's synthesis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from roicodec.bitstream.constants import (
    CODING_STEPS,
    FEATURE_CHANNELS,
    HYPER_CHANNELS,
    INDEX_GAIN,
    LATENT_CHANNELS,
    LATENT_TABLES,
    MAX_QUALITY,
    PACKING,
    PHASES,
    PIXEL_CHANNELS,
    QUANTIZER_OCTAVES,
    QUANTIZER_STEP_COARSEST,
    UNIT,
)
from roicodec.decoder.architecture import (
    ARCHITECTURES,
    Architecture,
    Projection,
    QualityVectors,
    ResidualBlock,
)
from roicodec.networks.blocks import Block, Pointwise, QualityTable, Regions, Sandwich
from roicodec.networks.rate import PRICE, bits_of, bounded, quantized, symbols_of

__all__ = [
    "PRICE",
    "FrameNet",
    "FrameOutput",
    "log_scale",
    "pack",
    "plane_means",
    "quantizer_step",
    "unpack",
]

_SCALE_LOW, _SCALE_HIGH = 0.04, 32.0
_SCALE_PITCH = math.log(_SCALE_HIGH / _SCALE_LOW) / (LATENT_TABLES - 1)


def quantizer_step(quality: Tensor) -> Tensor:
    """Quantizer step of the latents in sample values, of the shape of ``quality``.

    Args:
        quality: quality indices 0..63.
    """
    return QUANTIZER_STEP_COARSEST * torch.exp2(-QUANTIZER_OCTAVES * quality / MAX_QUALITY)


def log_scale(index: Tensor) -> Tensor:
    """Natural logarithm of the scale of a table's density, in quantizer steps.

    Args:
        index: table numbers 0..47, real-valued.
    """
    return math.log(_SCALE_LOW) + index * _SCALE_PITCH


def _scale_index(scale: Tensor) -> Tensor:
    """Table number for a scale, the inverse of :func:`log_scale`; real-valued, not clamped.

    Args:
        scale: scales in quantizer steps.
    """
    return (scale.log() - math.log(_SCALE_LOW)) / _SCALE_PITCH


def pack(y: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Packed blocks in units, ``[B, 96, H/8, W/8]``.

    Args:
        y: luma in sample values, ``[B, H, W]``.
        u, v: chroma, ``[B, H/2, W/2]``.
    """
    parts = F.pixel_unshuffle(y[:, None], 8), *(F.pixel_unshuffle(p[:, None], 4) for p in (u, v))
    return (torch.cat(parts, 1) / UNIT).contiguous(memory_format=torch.channels_last)


def unpack(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Planes Y, U and V in sample values, the inverse of :func:`pack`."""
    y, u, v = torch.split(x * UNIT, list(PACKING), 1)
    planes = F.pixel_shuffle(y, 8), F.pixel_shuffle(u, 4), F.pixel_shuffle(v, 4)
    return planes[0][:, 0], planes[1][:, 0], planes[2][:, 0]


def plane_means(packed: Tensor) -> Tensor:
    """Packed blocks with every sample replaced by the mean of its plane, ``[B, 96, H/8, W/8]``."""
    planes = torch.split(packed, list(PACKING), 1)
    return torch.cat([p.mean(1, keepdim=True).expand_as(p) for p in planes], 1)


@dataclass
class FrameOutput:
    """Output of a network for a batch of frames.

    Attributes:
        packed: reconstruction, ``[B, 96, H/8, W/8]`` in units.
        features: ``[B, 32, H/8, W/8]``, for the next frame's context.
        latents: dequantized latents in units, ``[B, 96, H/8, W/8]``.
        latent_bits: estimated bits of the latents of every 16x16 cell, ``[B, H/16, W/16]``.
        hyper_bits: estimated bits of the hyper-latents, ``[B]``.
    """

    packed: Tensor
    features: Tensor
    latents: Tensor
    latent_bits: Tensor
    hyper_bits: Tensor


def _projection(layer: Projection) -> Pointwise:
    return Pointwise(layer.inputs, layer.outputs)


def _block(layer: ResidualBlock) -> Block:
    return Block(layer.stream.channels, layer.inputs - layer.stream.channels)


def _vectors(table: QualityVectors) -> QualityTable:
    return QualityTable(table.target.channels)


class FrameNet(nn.Module):
    """Analysis, entropy model and synthesis of one kind of frame.

    ::

        x - p ─ analysis ─ down ─ y ─ quantize ─ ŷ ─ up ─ synthesis ─ + p
                                └ hyper-analysis ─ ẑ ─ hyper-synthesis ┐
        p, features ─ context ──────────────────────────── entropy ────┴ means, scales

    Latents are coded in four steps, each a quarter of the (position, channel) pairs: every step has
    a quarter of the channels at every position, other ones at its neighbours (quadtree partition,
    Li et al., DCVC-DC, CVPR 2023, section 3.4). The first step is conditioned on hyper-latents and
    context, each further one on the latents of all steps before. The layers are those of
    :mod:`roicodec.decoder.architecture`.

    Args:
        inter: whether it codes inter frames.
    """

    def __init__(self, inter: bool) -> None:
        super().__init__()
        self.inter = inter
        net = self.architecture
        if net.context:
            self.context_block = _block(net.context.block)
            self.context_out = _projection(net.context.out)
            self.context_in = _projection(net.context.into)
            self.unmatched = _vectors(net.context.unmatched)
        self.analysis = nn.ModuleList(map(_block, net.analysis))
        self.analysis_quality = _vectors(net.analysis_quality)
        self.down = _projection(net.down)
        self.exponent: Tensor
        self.register_buffer("exponent", torch.zeros(LATENT_CHANNELS))
        self.index_quality = _vectors(net.index_quality)
        self.log_gain = QualityTable(LATENT_CHANNELS)
        self.up = _projection(net.up)
        self.synthesis_quality = _vectors(net.synthesis_quality)
        self.synthesis = nn.ModuleList(map(_block, net.synthesis))

        self.hyper_analysis = nn.ModuleList(map(_projection, net.hyper_analysis))
        self.hyper_synthesis = nn.ModuleList(map(_projection, net.hyper_synthesis))
        self.hyper_log_gain = QualityTable(HYPER_CHANNELS)
        self.hyper_log_scale = QualityTable(HYPER_CHANNELS)
        # Expensive hyper-latents would vanish before the entropy network learns to read them.
        nn.init.constant_(self.hyper_log_scale.table, -2.0)
        self.entropy_quality = _vectors(net.entropy_quality)
        self.entropy = nn.ModuleList(map(_block, net.entropy))
        self.heads = nn.ModuleList(map(_projection, net.heads))
        self.inject = nn.ModuleList(map(_projection, net.inject))
        for head in self.heads:
            assert isinstance(head, Pointwise)
            with torch.no_grad():
                head.weight *= 0.1

    @property
    def architecture(self) -> Architecture:
        """Table of its layers."""
        return ARCHITECTURES[self.inter]

    @torch.no_grad()
    def start_from_klt(self, basis: Tensor, deviation: Tensor) -> None:
        """Initialization as a transform codec with a static model of its latents.

        Args:
            basis: projection of a packed 8x8 block to its coefficients, one a column, ``[96, 96]``.
            deviation: standard deviation of each coefficient in units, ``[96]``.
        """
        pixel = torch.arange(PIXEL_CHANNELS)
        for layer in (self.down, self.up):
            layer.weight.zero_()
        self.exponent.copy_(deviation.log2().round().clamp(-7, 7))
        self.down.weight[:, pixel, 0, 0] = basis.T
        self.up.weight[pixel, :, 0, 0] = torch.linalg.pinv(basis).T * self.exponent.exp2()
        anchors = torch.linspace(0, MAX_QUALITY, len(self.index_quality.table))
        steps = quantizer_step(anchors)[:, None] / UNIT
        index = _scale_index(0.55 * deviation / steps)
        self.index_quality.table.copy_(index.clamp(0, LATENT_TABLES - 1))

    def gain(self, quality: Tensor) -> Tensor:
        """Quantizer steps per unit of latent, ``[B, 96, 1, 1]``.

        Args:
            quality: indices 0..63, ``[B]``.
        """
        nominal = UNIT / quantizer_step(quality)
        return (torch.exp(self.log_gain(quality)) * nominal[:, None])[:, :, None, None]

    def forward(
        self,
        x: Tensor,
        quality: Tensor,
        prediction: Tensor | None = None,
        features: Tensor | None = None,
        regions: Regions | Sandwich | None = None,
        unmatched: Tensor | None = None,
    ) -> FrameOutput:
        """Reconstruction and rate of a batch of frames.

        Args:
            x: packed frames minus mid-gray, ``[B, 96, H/8, W/8]``.
            quality: indices 0..63, float ``[B]``.
            prediction: packed like ``x``; inter frames only.
            features: of the previous frame, motion-compensated, ``[B, 32, H/8, W/8]``; inter frames
                only.
            regions: bit-widths, for a quantized network.
            unmatched: positions of intra-coded cells, bool ``[B, 1, H/8, W/8]``; inter frames only.
        """
        if unmatched is not None and prediction is not None and features is not None:
            vector = self.unmatched(quality)[:, :, None, None]
            prediction = torch.where(unmatched, plane_means(prediction), prediction)
            features = torch.where(unmatched, vector, features)
        context = self._context(prediction, features, regions)
        stream = x if prediction is None else x - prediction
        stream = F.pad(stream, (0, 0, 0, 0, 0, FEATURE_CHANNELS))
        stream = stream + self.analysis_quality(quality)[:, :, None, None]
        for block in self.analysis:
            stream = block(stream, context, regions)
        gain = self.gain(quality)
        spread = self.exponent.exp2()[:, None, None]
        y = self.down(stream)

        z = y / spread
        for i, layer in enumerate(self.hyper_analysis):
            z = layer(F.pixel_unshuffle(F.relu(z), 2) if i else z)
        hyper_gain = torch.exp(self.hyper_log_gain(quality))[:, :, None, None]
        z = z * hyper_gain
        hyper = z.detach().round()
        hyper_bits = bits_of(z, hyper, self.hyper_log_scale(quality)[:, :, None, None])

        e = self.hyper_synthesis[0](quantized(z, hyper) / hyper_gain)
        for layer in self.hyper_synthesis[1:]:
            e = layer(F.relu(F.pixel_shuffle(e, 2)))
        e = e + self.entropy_quality(quality)[:, :, None, None]
        if context is not None:
            e = e + self.context_in(context)
        shift = self.index_quality(quality)[:, :, None, None]
        step_of = coding_steps(y)
        decoded = torch.zeros_like(y)
        bits = torch.zeros_like(y)
        for k in range(CODING_STEPS):
            if k:
                e = e + self.inject[k - 1](decoded / spread)
            e = self.entropy[k](e, None, regions)
            values, cost = self._decoded(y, self.heads[k](e), gain, shift)
            coded_now = step_of == k
            decoded = torch.where(coded_now, values, decoded)
            bits = torch.where(coded_now, cost, bits)

        start = self.synthesis_quality(quality)[:, :, None, None]
        packed, new_features = self.synthesise(decoded, start, context, regions)
        return FrameOutput(
            packed if prediction is None else packed + prediction,
            new_features,
            decoded,
            4 * F.avg_pool2d(bits.sum(1, keepdim=True), 2)[:, 0],
            hyper_bits.flatten(1).sum(1),
        )

    def synthesise(
        self,
        latents: Tensor,
        start: Tensor,
        context: Tensor | None = None,
        regions: Regions | Sandwich | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Packed residual in units, ``[B, 96, H/8, W/8]``, and features, ``[B, 32, H/8, W/8]``.

        Args:
            latents: dequantized latents in units, ``[B, 96, H/8, W/8]``.
            start: vectors of ``synthesis_quality``, ``[B, 128, 1, 1]`` or one for each position.
            context: ``[B, 64, H/8, W/8]``; inter frames only.
            regions: bit-widths, for a quantized network.
        """
        stream = self.up(latents / self.exponent.exp2()[:, None, None]) + start
        for block in self.synthesis:
            stream = block(stream, context, regions)
        packed, features = torch.split(stream, [PIXEL_CHANNELS, FEATURE_CHANNELS], 1)
        return packed, features

    def _decoded(
        self, y: Tensor, head: Tensor, gain: Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Dequantized latents and their bits, from the output of a head."""
        mean = head[:, :LATENT_CHANNELS] * self.exponent.exp2()[:, None, None]
        index = INDEX_GAIN * head[:, LATENT_CHANNELS:] + shift
        log_s = log_scale(bounded(index, 0, LATENT_TABLES - 1))
        residual = (y - mean) * gain
        symbols = symbols_of(residual, log_s)
        return mean + quantized(residual, symbols) / gain, bits_of(residual, symbols, log_s)

    def _context(
        self, prediction: Tensor | None, features: Tensor | None, regions: Regions | Sandwich | None
    ) -> Tensor | None:
        if prediction is None or features is None:
            return None
        stream = torch.cat((prediction, features), 1)
        context: Tensor = self.context_out(self.context_block(stream, None, regions))
        return context


def coding_steps(y: Tensor) -> Tensor:
    """Coding step of each latent, integers 0..3 ``[1, C, H, W]``.

    Args:
        y: latents, ``[B, C, H, W]``.
    """
    c, h, w = (torch.arange(n, device=y.device) for n in y.shape[1:])
    phase = torch.from_numpy(PHASES).to(y.device)[h[:, None] % 2, w % 2]
    return ((c[:, None, None] + phase) % CODING_STEPS)[None]
