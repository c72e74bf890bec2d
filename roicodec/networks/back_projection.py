"""Gradient of a frame's reconstruction by its latents, at computed positions alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from roicodec.networks.blocks import Block
from roicodec.networks.frame_net import FrameNet

__all__ = ["Band", "back_projected"]


class Band(NamedTuple):
    """Rows of a frame of which some positions are computed.

    Attributes:
        height, width: in positions.
        places: computed positions, ascending, int64 ``[N]``.
        latents: dequantized, in units, float32 ``[N, 96]``.
        start: vectors of the synthesis's quality, float32 ``[N, 128]``.
        context: float32 ``[N, 64]``; None in intra frames.
        pull: derivative by the reconstruction, float32 ``[N, 96]``.
    """

    height: int
    width: int
    places: Tensor
    latents: Tensor
    start: Tensor
    context: Tensor | None
    pull: Tensor


def back_projected(net: FrameNet, band: Band) -> Tensor:
    """Derivative by the latents, float32 ``[N, 96]``.

    What is not computed is zero to its neighbours, as in a decoder. Branches compute in their own
    type.

    Args:
        net: float network.
        band: positions that the reconstruction depends on.
    """
    spread = net.exponent.exp2()
    up = net.up.weight.flatten(1)
    stream = F.linear(band.latents / spread, up, net.up.bias) + band.start
    blocks = [_Differentiable(block, band) for block in net.synthesis if isinstance(block, Block)]
    for block in blocks:
        stream = block.forward(stream)
    gradient = F.pad(band.pull, (0, stream.shape[1] - band.pull.shape[1]))
    for block in reversed(blocks):
        gradient = block.backward(gradient)
    return gradient @ up / spread


class _Differentiable:
    """A block on rows of positions, which remembers what its derivative needs."""

    def __init__(self, block: Block, band: Band) -> None:
        self._block, self._band, self._dtype = block, band, block.branch_dtype
        self._kept: list[Tensor] = []

    def _weights(self, layer: torch.nn.Conv2d) -> Tensor:
        return layer.weight.flatten(1).to(self._dtype)

    def _linear(self, layer: torch.nn.Conv2d, x: Tensor) -> Tensor:
        bias = None if layer.bias is None else layer.bias.to(self._dtype)
        return F.linear(x.to(self._dtype), self._weights(layer), bias)

    def _rectified(self, x: Tensor) -> Tensor:
        self._kept.append(x.relu_())
        return x

    def _depthwise(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A 3x3 convolution; positions that are not computed are zeros."""
        band, channels = self._band, rows.shape[1]
        whole = len(rows) == band.height * band.width
        if not whole:
            field = rows.new_zeros((band.height * band.width, channels))
            rows = field.index_copy_(0, band.places, rows)
        planes = rows.view(1, band.height, band.width, channels).permute(0, 3, 1, 2)
        made = F.conv2d(planes, weight, bias, padding=1, groups=channels)
        out = made.permute(0, 2, 3, 1).reshape(-1, channels)
        return out if whole else out[band.places]

    def forward(self, x: Tensor) -> Tensor:
        """The stream behind the block."""
        block, context = self._block, self._band.context
        deep = block.depthwise
        a = x if context is None else torch.cat((x, context), 1)
        a = self._rectified(self._linear(block.mix_in, a))
        bias = None if deep.bias is None else deep.bias.to(self._dtype)
        a = self._rectified(self._depthwise(a, deep.weight.to(self._dtype), bias))
        x = x + self._linear(block.mix_out, a)
        return x + self._linear(block.project, self._rectified(self._linear(block.expand, x)))

    def backward(self, gradient: Tensor) -> Tensor:
        """The derivative by the stream in front of the block, of that behind it."""
        block, width = self._block, gradient.shape[1]
        first, second, third = self._kept
        g = _through(third, gradient.to(self._dtype) @ self._weights(block.project))
        gradient = gradient + g @ self._weights(block.expand)
        g = _through(second, gradient.to(self._dtype) @ self._weights(block.mix_out))
        g = self._depthwise(g, block.depthwise.weight.to(self._dtype).flip(2, 3), None)
        return gradient + _through(first, g) @ self._weights(block.mix_in)[:, :width]


def _through(rectified: Tensor, gradient: Tensor) -> Tensor:
    """The derivative in front of a ReLU that returned ``rectified``."""
    return torch.ops.aten.threshold_backward(gradient, rectified, 0)  # type: ignore[no-any-return]
