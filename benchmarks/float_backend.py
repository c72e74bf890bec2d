"""Backend that runs the codec's layers in float32 without rounding.

An anchor for measurements only: it does not decode what the format specifies.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Ints, Pointwise, Quantize
from roicodec.kernels.interface import Backend, PointwiseOp, TensorOp


class _Pointwise:
    def __init__(self, layer: Pointwise) -> None:
        scale = np.ldexp(1.0, -layer.shift)
        self._weight = _float(layer.weight.T * scale)
        self._bias = _float(layer.bias * scale)
        self._rectified = layer.target != SKELETON

    def __call__(self, codes: Tensor) -> Tensor:
        out = torch.addmm(self._bias, codes, self._weight)
        return out.relu_() if self._rectified else out

    def accumulate(self, skeleton: Tensor, codes: Tensor) -> Tensor:
        return skeleton.addmm_(codes, self._weight).add_(self._bias)


class FloatBackend(Backend):
    """float32 convolutions, biases and ReLUs, without quantizers."""

    name = "float32"
    device = torch.device("cpu")

    def skeleton(self, values: Tensor) -> Tensor:
        return values.to(torch.float32, copy=True)

    def values(self, skeleton: Tensor) -> Tensor:
        return skeleton.clamp(SKELETON.low, SKELETON.high).to(torch.int16)

    def codes(self, values: Tensor, grid: Grid) -> Tensor:
        return values.to(torch.float32)

    def integers(self, codes: Tensor, grid: Grid) -> Tensor:
        return codes.to(torch.int32)

    def quantize(self, layer: Quantize) -> TensorOp:
        # A float network has the differences between channels in its weights.
        scale = _float(np.ldexp(1.0, -layer.shift))
        return (lambda rows: rows) if not layer.shift.any() else (lambda rows: rows * scale)

    def pointwise(self, layer: Pointwise) -> PointwiseOp:
        return _Pointwise(layer)

    def depthwise(self, layer: Depthwise) -> TensorOp:
        scale = np.ldexp(1.0, -layer.shift)
        weight = _float((layer.weight * scale[:, None, None])[:, None])
        bias = _float(layer.bias * scale)

        def run(codes: Tensor) -> Tensor:
            planes = codes.permute(2, 0, 1)[None]
            out = functional.conv2d(planes, weight, bias, padding=1, groups=len(weight))
            return out[0].permute(1, 2, 0).contiguous().relu_()

        return run


def _float(values: Ints | np.ndarray) -> Tensor:
    return torch.tensor(np.ascontiguousarray(values), dtype=torch.float32)
