"""Building blocks of the networks, in the float form in which they are trained first.

A residual stream of features runs straight through in full precision, and each block adds two
branches to it. Branches compute in bfloat16 where the CPU has it, in few bits after quantization.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from roicodec.decoder.architecture import EXPANSION

__all__ = [
    "ANCHORS",
    "Block",
    "BranchModule",
    "Depthwise",
    "Pointwise",
    "QualityTable",
    "Regions",
    "Sandwich",
    "set_branch_dtype",
]

_BRANCH_DTYPE = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
"""Type in which branches compute in training: bfloat16 only where the CPU multiplies it."""

ANCHORS = 11
"""Number of quality indices for which a vector is learned."""


class BranchModule(nn.Module):
    """A module that computes in the type of the branches.

    Attributes:
        branch_dtype: that type, bfloat16 where the CPU has it; :func:`set_branch_dtype` changes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.branch_dtype = _BRANCH_DTYPE


def set_branch_dtype(net: nn.Module, dtype: torch.dtype) -> None:
    """Setting of the type in which all branches of a network compute.

    Args:
        net: float or quantized network.
        dtype: floating point type.
    """
    for module in net.modules():
        if isinstance(module, BranchModule):
            module.branch_dtype = dtype


@dataclass(frozen=True)
class Regions:
    """Bit-widths of the two regions of a batch of frames.

    Attributes:
        bits_roi, bits_bg: bit-widths of ROI and background, 2..8 or 16.
        mask: ROI, bool ``[B, 1, H/16, W/16]``; None where all is background.
    """

    bits_roi: int
    bits_bg: int
    mask: Tensor | None = None

    def each(self, layer: Callable[[Tensor, int], Tensor], x: Tensor) -> Tensor:
        """Output of ``layer(x, bits)``, computed for both bit-widths and selected by region.

        Args:
            layer: maps ``[B, C, H, W]`` to ``[B, D, H, W]``.
            x: its input.
        """
        if self.mask is None or self.bits_roi == self.bits_bg:
            return layer(x, self.bits_bg)
        roi, bg = layer(x, self.bits_roi), layer(x, self.bits_bg)
        mask = self.mask
        if roi.shape[-1] != mask.shape[-1]:
            times = roi.shape[-1] // mask.shape[-1]
            mask = mask.repeat_interleave(times, 2).repeat_interleave(times, 3)
        return torch.where(mask, roi, bg)


@dataclass(frozen=True)
class Sandwich:
    """Bit-widths of a sandwich-rule training step, each for its share of the batch.

    Attributes:
        parts: regions of each share, in the order in which ``Tensor.tensor_split`` cuts them.
    """

    parts: tuple[Regions, ...]

    def each(self, layer: Callable[[Tensor, int], Tensor], x: Tensor) -> Tensor:
        """Output of :meth:`Regions.each`, share by share."""
        split = zip(self.parts, x.tensor_split(len(self.parts)), strict=True)
        return torch.cat([regions.each(layer, part) for regions, part in split])


class Pointwise(nn.Conv2d):
    """A 1x1 convolution in the type of its input."""

    def __init__(self, c_in: int, c_out: int, *, zero: bool = False) -> None:
        super().__init__(c_in, c_out, 1)
        assert self.bias is not None
        nn.init.zeros_(self.bias)
        if zero:
            nn.init.zeros_(self.weight)
        else:
            nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        return F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class Depthwise(nn.Conv2d):
    """A depthwise 3x3 convolution with zero padding."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels)
        assert self.bias is not None
        nn.init.zeros_(self.bias)
        nn.init.normal_(self.weight, std=0.15)
        with torch.no_grad():
            self.weight[:, :, 1, 1] += 0.8

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.conv2d(x, weight, bias, padding=1, groups=self.groups)


class Block(BranchModule):
    """Two residual branches around a stream of ``width`` channels.

    ::

        x ─┬────────────────────────────────────────────┬ + ─┬───────────────────────────┬ + ─
           └ (x, context) 1x1 · ReLU · dw 3x3 · ReLU · 1x1 ┘    └ 1x1 (times 2) · ReLU · 1x1 ┘

    The last layer of each branch starts at zero, so that a new block is the identity.

    Args:
        width: number of channels of the stream.
        context: number of channels of an optional second input, read by the first branch.
        expansion: hidden channels of the second branch for each channel of the stream.
    """

    def __init__(self, width: int, context: int = 0, expansion: int = EXPANSION) -> None:
        super().__init__()
        self.mix_in = Pointwise(width + context, width)
        self.depthwise = Depthwise(width)
        self.mix_out = Pointwise(width, width, zero=True)
        self.expand = Pointwise(width, expansion * width)
        self.project = Pointwise(expansion * width, width, zero=True)

    def forward(
        self, x: Tensor, context: Tensor | None = None, regions: Regions | Sandwich | None = None
    ) -> Tensor:
        """The stream behind the block, float ``[B, width, H, W]``.

        Args:
            x: stream in front of it, of the same shape.
            context: second input, ``[B, context, H, W]``.
            regions: unused; quantized blocks, which replace this one, need it.
        """
        a = x if context is None else torch.cat((x, context), 1)
        a = F.relu(self.depthwise(F.relu(self.mix_in(a.to(self.branch_dtype)))))
        x = x + self.mix_out(a).float()
        out: Tensor = x + self.project(F.relu(self.expand(x.to(self.branch_dtype)))).float()
        return out


class QualityTable(nn.Module):
    """A learned vector for every quality index, interpolated linearly between anchors.

    Args:
        channels: length of the vectors.
        qualities: number of quality indices.
        anchors: number of learned vectors, evenly spaced over the indices.
    """

    def __init__(self, channels: int, qualities: int = 64, anchors: int = ANCHORS) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(anchors, channels))
        self.scale = (anchors - 1) / (qualities - 1)

    def forward(self, quality: Tensor) -> Tensor:
        """Vectors, float ``[..., channels]``.

        Args:
            quality: quality indices, float ``[...]``; those outside the range are clamped.
        """
        position = (quality * self.scale).clamp(0, len(self.table) - 1)
        low = position.floor().long().clamp(max=len(self.table) - 2)
        share = (position - low).unsqueeze(-1)
        vectors: Tensor = self.table[low] * (1 - share) + self.table[low + 1] * share
        return vectors
