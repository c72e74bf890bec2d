"""The frame networks: analysis, synthesis, hyperprior and two-step context, intra and inter.

One class serves both kinds of frame: an inter network sees, besides the frame, a context made of
the motion-compensated prediction and the features that the previous frame's synthesis left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from roicodec.model.blocks import Block, Pointwise, QualityTable

__all__ = [
    "FEATURES",
    "LATENTS",
    "QUALITIES",
    "SCALES",
    "FrameNet",
    "FrameOutput",
    "log_scale",
    "pack",
    "quantizer_step",
    "unpack",
]

QUALITIES = 64
LATENTS = 256
PIXELS = 96
FEATURES = 32
WIDTH = PIXELS + FEATURES
CONTEXT = 64
ENTROPY_WIDTH = 160
HYPER = 64
UNIT = 32.0
"""Sample values per unit of the network's streams."""

SCALES = 48
_SCALE_LOW, _SCALE_HIGH = 0.04, 32.0
_STEP_COARSE, _STEP_OCTAVES = 80.0, 3.75


def quantizer_step(quality: Tensor) -> Tensor:
    """Quantizer step of the latents, in sample values, for quality indices 0..63."""
    return _STEP_COARSE * torch.exp2(-_STEP_OCTAVES * quality / (QUALITIES - 1))


def log_scale(index: Tensor) -> Tensor:
    """Natural logarithm of the scale that a table index 0..47 stands for, in quantizer steps."""
    low, high = (torch.tensor(s).log().item() for s in (_SCALE_LOW, _SCALE_HIGH))
    return low + index * ((high - low) / (SCALES - 1))


def pack(y: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Planes ``[B, H, W]``, ``[B, H/2, W/2]`` twice, in sample values, to ``[B, 96, H/8, W/8]``."""
    parts = F.pixel_unshuffle(y[:, None], 8), *(F.pixel_unshuffle(p[:, None], 4) for p in (u, v))
    return (torch.cat(parts, 1) / UNIT).contiguous(memory_format=torch.channels_last)


def unpack(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inverse of :func:`pack`."""
    y, u, v = (x * UNIT).split((64, 16, 16), 1)
    planes = F.pixel_shuffle(y, 8), F.pixel_shuffle(u, 4), F.pixel_shuffle(v, 4)
    return planes[0][:, 0], planes[1][:, 0], planes[2][:, 0]


@dataclass
class FrameOutput:
    """What a network makes of a batch of frames.

    Attributes:
        packed: reconstruction, ``[B, 96, H/8, W/8]`` in units.
        features: ``[B, 32, H/8, W/8]``, for the next frame's context.
        latents: decoded latents in quantizer steps, ``[B, 256, H/16, W/16]``.
        latent_bits, hyper_bits: estimated bits, ``[B]``.
    """

    packed: Tensor
    features: Tensor
    latents: Tensor
    latent_bits: Tensor
    hyper_bits: Tensor


def _logistic_bits(value: Tensor, log_s: Tensor) -> Tensor:
    """Bits of an integer bin centred on ``value`` under a logistic density of scale ``exp(log_s)``."""
    inverse = torch.exp(-log_s)
    v = value.abs()
    upper, lower = torch.sigmoid((0.5 - v) * inverse), torch.sigmoid((-0.5 - v) * inverse)
    return -torch.log2((upper - lower).clamp_min(1e-7))


def _noisy(x: Tensor) -> Tensor:
    return x + torch.rand_like(x) - 0.5


def _rounded(x: Tensor) -> Tensor:
    return x + (x.round() - x).detach()


class FrameNet(nn.Module):
    """Analysis, entropy model and synthesis of one kind of frame.

    ::

        x - p ─ analysis ─ down ─ (times gain) ─ y ─ quantize ─ ŷ ─ (over gain) ─ up ─ synthesis ─ + p
                                              └ hyper-analysis ─ ẑ ─ hyper-synthesis ┐
        p, features ─ context ──────────────────────────────────────── entropy ──────┴ means, scales

    Latents are coded in two steps: half of the (position, channel) pairs, in a checkerboard that
    alternates with the channel, from hyper-latents and context; the other half knowing the first.

    Args:
        inter: whether there is a prediction.
    """

    def __init__(self, inter: bool, depth: int = 3) -> None:
        super().__init__()
        self.inter = inter
        k = CONTEXT if inter else 0
        if inter:
            self.context_block = Block(WIDTH)
            self.context_out = Pointwise(WIDTH, CONTEXT)
            self.context_down = Pointwise(4 * CONTEXT, ENTROPY_WIDTH)
            self.previous_in = Pointwise(LATENTS, ENTROPY_WIDTH)
        self.analysis = nn.ModuleList(Block(WIDTH, k) for _ in range(depth))
        self.analysis_quality = QualityTable(WIDTH)
        self.down = Pointwise(4 * WIDTH, LATENTS)
        self.log_gain = QualityTable(LATENTS)
        self.up = Pointwise(LATENTS, 4 * WIDTH)
        self.synthesis_quality = QualityTable(WIDTH)
        self.synthesis = nn.ModuleList(Block(WIDTH, k) for _ in range(depth))

        self.hyper_analysis = nn.ModuleList(
            (Pointwise(LATENTS, 64), Pointwise(256, 128), Pointwise(512, HYPER))
        )
        self.hyper_synthesis = nn.ModuleList(
            (Pointwise(HYPER, 512), Pointwise(128, 256), Pointwise(64, ENTROPY_WIDTH))
        )
        self.hyper_log_scale = nn.Parameter(torch.zeros(HYPER))
        self.entropy_quality = QualityTable(ENTROPY_WIDTH)
        self.first = nn.ModuleList(Block(ENTROPY_WIDTH) for _ in range(2))
        self.first_head = Pointwise(ENTROPY_WIDTH, 2 * LATENTS)
        self.inject = Pointwise(LATENTS, ENTROPY_WIDTH)
        self.second = nn.ModuleList(Block(ENTROPY_WIDTH) for _ in range(2))
        self.second_head = Pointwise(ENTROPY_WIDTH, 2 * LATENTS)
        for head in (self.first_head, self.second_head):
            assert head.bias is not None
            with torch.no_grad():
                head.weight *= 0.1
                head.bias[LATENTS:] = 18.0

    @torch.no_grad()
    def start_from_klt(self, basis: Tensor) -> None:
        """Make the untrained network a transform codec.

        Args:
            basis: ``[384, 256]``, columns orthonormal up to the chroma weights: the projection
                that maps a 16x16 block, packed twice, to its coefficients; and ``[256, 384]``
                its (pseudo-)inverse is computed here.
        """
        inverse = torch.linalg.pinv(basis)
        pixel = torch.arange(4 * PIXELS)
        for layer in (self.down, self.up):
            layer.weight.zero_()
        self.down.weight[:, pixel, 0, 0] = basis.T
        self.up.weight[pixel, :, 0, 0] = inverse.T

    def gain(self, quality: Tensor) -> Tensor:
        """Steps per unit of latent, ``[B, 256, 1, 1]`` for quality ``[B]``."""
        return (torch.exp(self.log_gain(quality)) * (UNIT / quantizer_step(quality))[:, None])[
            :, :, None, None
        ]

    def forward(
        self,
        x: Tensor,
        quality: Tensor,
        prediction: Tensor | None = None,
        features: Tensor | None = None,
        previous: Tensor | None = None,
    ) -> FrameOutput:
        """Code a batch of frames.

        Args:
            x: packed frames ``[B, 96, H/8, W/8]``, minus mid-gray.
            quality: indices 0..63, float ``[B]``.
            prediction: packed like ``x``; inter only, as the next two.
            features: ``[B, 32, H/8, W/8]`` of the previous frame, motion-compensated.
            previous: latents of the previous frame ``[B, 256, H/16, W/16]``, in steps.
        """
        context = self._context(prediction, features)
        stream = x if prediction is None else x - prediction
        stream = F.pad(stream, (0, 0, 0, 0, 0, FEATURES))
        stream = stream + self.analysis_quality(quality)[:, :, None, None]
        for block in self.analysis:
            stream = block(stream, context)
        gain = self.gain(quality)
        y = self.down(F.pixel_unshuffle(stream, 2)) * gain

        z = y
        for i, layer in enumerate(self.hyper_analysis):
            z = layer(F.pixel_unshuffle(F.relu(z), 2) if i else z)
        hyper_bits = _logistic_bits(_noisy(z), self.hyper_log_scale[:, None, None])
        z = _rounded(z)

        e = self.hyper_synthesis[0](z)
        for layer in self.hyper_synthesis[1:]:
            e = layer(F.relu(F.pixel_shuffle(e, 2)))
        e = e + self.entropy_quality(quality)[:, :, None, None]
        if context is not None:
            assert previous is not None
            e = e + self.context_down(F.pixel_unshuffle(context, 2)) + self.previous_in(previous)
        for block in self.first:
            e = block(e)
        mean, index = self.first_head(e).chunk(2, 1)
        half = checkerboard(y)
        decoded = torch.where(half, _rounded(y - mean) + mean, 0.0)
        e = e + self.inject(decoded)
        for block in self.second:
            e = block(e)
        mean2, index2 = self.second_head(e).chunk(2, 1)
        mean, index = torch.where(half, mean, mean2), torch.where(half, index, index2)
        decoded = _rounded(y - mean) + mean
        bits = _logistic_bits(_noisy(y - mean), log_scale(index.clamp(0, SCALES - 1)))

        stream = F.pixel_shuffle(self.up(decoded / gain), 2)
        stream = stream + self.synthesis_quality(quality)[:, :, None, None]
        for block in self.synthesis:
            stream = block(stream, context)
        packed, left = stream.split((PIXELS, FEATURES), 1)
        return FrameOutput(
            packed if prediction is None else packed + prediction,
            left,
            decoded,
            bits.flatten(1).sum(1),
            hyper_bits.flatten(1).sum(1),
        )

    def _context(self, prediction: Tensor | None, features: Tensor | None) -> Tensor | None:
        if prediction is None or features is None:
            return None
        return self.context_out(self.context_block(torch.cat((prediction, features), 1)))


def checkerboard(y: Tensor) -> Tensor:
    """The pairs coded first: bool ``[1, C, H, W]``, true where row + column + channel is even."""
    c, h, w = (torch.arange(n, device=y.device) for n in y.shape[1:])
    return ((c[:, None, None] + h[:, None] + w) % 2 == 0)[None]
