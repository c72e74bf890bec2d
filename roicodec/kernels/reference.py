"""The reference backend: float tensors that hold integers, exact in any order of summation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from roicodec.kernels.integer import (
    SKELETON,
    Depthwise,
    Grid,
    Ints,
    Pointwise,
    Quantize,
    accumulator_bound,
)
from roicodec.kernels.interface import Backend, PointwiseOp, TensorOp

__all__ = ["ReferenceBackend"]

_MAGIC = 1.5 * 2**23
"""Adding it to a float32 below 2**22 rounds to the nearest integer, ties to even."""


class _Pointwise:
    def __init__(self, layer: Pointwise, device: torch.device) -> None:
        bound = accumulator_bound(layer.weight, layer.bias, layer.source).max(initial=0)
        # Every partial sum is an integer below the bound, so float32 (below 2**24) and float64
        # (int32 accumulators always fit) add them without rounding.
        self._dtype = torch.float32 if bound < 1 << 24 else torch.float64
        self._weight = _tensor(layer.weight.T, device, self._dtype)
        self._bias = _tensor(layer.bias, device, self._dtype)
        self._scale = _scale(layer.shift, device, self._dtype)
        self._target = layer.target

    def _scaled(self, codes: Tensor) -> Tensor:
        return torch.addmm(self._bias, codes.to(self._dtype), self._weight).mul_(self._scale)

    def __call__(self, codes: Tensor) -> Tensor:
        out = codes.new_empty((len(codes), len(self._bias)))
        for part in _parts(codes):
            scaled = self._scaled(codes[part]).round_()
            out[part] = scaled.clamp_(self._target.low, self._target.high)
        return out

    def accumulate(self, skeleton: Tensor, codes: Tensor) -> Tensor:
        for part in _parts(codes):
            scaled, rows = self._scaled(codes[part]), skeleton[part]
            if self._dtype == torch.float32:
                rows.add_(_MAGIC).add_(scaled).sub_(_MAGIC)
            else:
                rows.copy_(scaled.add_(rows).round_().clamp_(SKELETON.low, SKELETON.high))
            rows.clamp_(SKELETON.low, SKELETON.high)
        return skeleton


class ReferenceBackend(Backend):
    """Matrix products in float32 where their bound allows it, else float64; any device.

    Skeletons and codes are float32 tensors that hold the integers themselves.
    """

    name = "reference"

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)

    def skeleton(self, values: Tensor) -> Tensor:
        return values.to(self.device, torch.float32, copy=True)

    def values(self, skeleton: Tensor) -> Tensor:
        return skeleton.to(torch.int16)

    def codes(self, values: Tensor, grid: Grid) -> Tensor:
        return values.to(self.device, torch.float32)

    def integers(self, codes: Tensor, grid: Grid) -> Tensor:
        return codes.to(torch.int32)

    def quantize(self, layer: Quantize) -> TensorOp:
        scale = _scale(layer.shift, self.device, torch.float32)
        low, high = layer.target.low, layer.target.high
        return lambda skeleton: (skeleton * scale).round_().clamp_(low, high)

    def pointwise(self, layer: Pointwise) -> PointwiseOp:
        return _Pointwise(layer, self.device)

    def depthwise(self, layer: Depthwise) -> TensorOp:
        weight = _tensor(layer.weight[:, None], self.device, torch.float32)
        bias = _tensor(layer.bias, self.device, torch.float32)
        scale = _scale(layer.shift, self.device, torch.float32)
        low, high = layer.target.low, layer.target.high

        def run(codes: Tensor) -> Tensor:
            planes = codes.permute(2, 0, 1)[None]
            acc = functional.conv2d(planes, weight, bias, padding=1, groups=len(weight))
            frame = acc[0].permute(1, 2, 0).contiguous()
            return frame.mul_(scale).round_().clamp_(low, high)

        return run


def _parts(rows: Tensor) -> Iterator[slice]:
    """On a CPU, rows whose temporaries stay in the cache; elsewhere all of them."""
    size = 2048 if rows.device.type == "cpu" else max(len(rows), 1)
    return (slice(start, start + size) for start in range(0, len(rows), size))


def _tensor(values: Ints, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(np.ascontiguousarray(values), dtype=dtype, device=device)


def _scale(shift: Ints, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(np.ldexp(1.0, -shift), dtype=dtype, device=device)
