"""The oneDNN backend: 8-bit integer matrix products of the CPU, requantization fused into them.

Skeletons are float32 tensors that hold ``MAGIC + value``, ``MAGIC = 1.5 * 2**23``: there one unit
in the last place is 1, so one float addition (oneDNN's fused sum among them) adds a fraction and
rounds it to even, and the mantissa's low bits are the integer. Codes of up to 8 bits are uint8,
offset to be non-negative; codes of 16 bits are int16.

torch's operators used here are private to its quantization flow; that they do what the definition
says is checked by known answers before the backend is used (:mod:`roicodec.kernels.choose`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Ints, Pointwise, Quantize
from roicodec.kernels.interface import Backend, PointwiseOp, TensorOp

__all__ = ["OnednnBackend"]

_MAGIC = 1.5 * 2**23
_MAGIC_BITS = 0x4B400000
_ROWS = 2048
"""Rows at a time where temporaries are needed: they stay in the cache."""

_FLOAT32_EXACT = 1 << 24


class OnednnBackend(Backend):
    """8-bit layers as fused oneDNN kernels, 16-bit ones as exact passes over their bytes."""

    name = "onednn"

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def skeleton(self, values: Tensor) -> Tensor:
        return values.to(torch.float32, copy=True).add_(_MAGIC)

    def values(self, skeleton: Tensor) -> Tensor:
        return skeleton.view(torch.int32).to(torch.int16)

    def codes(self, values: Tensor, grid: Grid) -> Tensor:
        if grid.bits == 16:
            return values.to(torch.int16)
        return (values + _offset(grid)).to(torch.uint8)

    def integers(self, codes: Tensor, grid: Grid) -> Tensor:
        return codes.to(torch.int32) - _offset(grid)

    def quantize(self, layer: Quantize) -> TensorOp:
        return _Quantize(layer)

    def pointwise(self, layer: Pointwise) -> PointwiseOp:
        offset = _offset(layer.source)
        bias = layer.bias - offset * layer.weight.sum(1)
        bound = abs(layer.weight).sum(1) * (layer.source.high + offset) + abs(bias)
        if layer.source.bits <= 8 and layer.weight_bits == 8 and (bound < _FLOAT32_EXACT).all():
            return _FusedPointwise(layer, bias)
        return _BytePointwise(layer)

    def depthwise(self, layer: Depthwise) -> TensorOp:
        return _Depthwise(layer)


class _Quantize:
    def __init__(self, layer: Quantize) -> None:
        scale = np.ldexp(1.0, -layer.shift)
        self._grid = layer.target
        self._base = _MAGIC + _offset(layer.target)
        # start + scale * (MAGIC + value) == base + scale * value, rounded once.
        start = self._base - _MAGIC * scale
        self._direct = bool((start.astype(np.float32) == start).all())
        self._scale = torch.tensor(scale, dtype=torch.float32)
        self._start = torch.tensor(start if self._direct else 0 * start + self._base).float()

    def __call__(self, skeleton: Tensor) -> Tensor:
        codes = torch.empty(skeleton.shape, dtype=_dtype(self._grid))
        sums = torch.empty(_ROWS, skeleton.shape[1])
        for part in _parts(len(skeleton)):
            rows = skeleton[part]
            if not self._direct:
                rows = rows - _MAGIC
            made = torch.addcmul(self._start, rows, self._scale, out=sums[: len(rows)])
            codes[part] = _clamped(made, self._grid)
        return codes


class _FusedPointwise:
    def __init__(self, layer: Pointwise, bias: Ints) -> None:
        scale = np.ldexp(1.0, -layer.shift)
        self._target = layer.target
        self._channels = len(layer.weight)
        weight = torch.tensor(layer.weight, dtype=torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(weight, None)
        self._scale = torch.tensor(scale, dtype=torch.float32)
        self._bias = torch.tensor(bias * scale, dtype=torch.float32)
        self._zero = torch.zeros(self._channels, dtype=torch.int32)
        self._post = _relu(layer.target)

    def __call__(self, codes: Tensor) -> Tensor:
        if self._target.signed or self._target.bits == 16:
            base = _MAGIC if self._target == SKELETON else _MAGIC + _offset(self._target)
            sums = torch.full((len(codes), self._channels), base)
            self._sum(sums, codes)
            if self._target == SKELETON:
                return _saturate(sums)
            return _clamped(sums, self._target).to(_dtype(self._target))
        if not len(codes):
            return torch.empty((0, self._channels), dtype=torch.uint8)
        out: Tensor = torch.ops.onednn.qlinear_pointwise(
            *(codes, 1.0, 0, self._weight, self._scale, self._zero, self._bias),
            *(1.0, 0, torch.uint8, *self._post, ""),
        )
        return out

    def accumulate(self, skeleton: Tensor, codes: Tensor) -> Tensor:
        self._sum(skeleton, codes)
        return _saturate(skeleton)

    def _sum(self, sums: Tensor, codes: Tensor) -> None:
        if len(codes):
            torch.ops.onednn.qlinear_pointwise.binary(
                *(codes, 1.0, 0, self._weight, self._scale, self._zero, sums, self._bias),
                *(1.0, 0, torch.float32, 1.0, 0, "sum", 1.0, "none", [], ""),
            )


class _BytePointwise:
    """``sum w a`` over the signed bytes of w and of a, in int32.

    A sum that wraps on the way is still right: the total fits.
    """

    def __init__(self, layer: Pointwise) -> None:
        self._target = layer.target
        self._wide = layer.source.bits == 16
        # a = 256 * high + low + middle, where low and high are signed bytes.
        middle = 128 - _offset(layer.source)
        down = np.maximum(layer.shift, 0)
        half = (np.int64(1) << down) >> 1
        start = layer.bias + middle * layer.weight.sum(1) + half
        self._start = torch.tensor(start).to(torch.int32)
        low = (layer.weight + 128 & 255) - 128
        parts = [low] if layer.weight_bits == 8 else [low, layer.weight - low >> 8]
        self._weights = [torch.tensor(part, dtype=torch.int8).t() for part in parts]
        self._shift = torch.tensor(down, dtype=torch.int32)
        self._up = torch.tensor(down - layer.shift, dtype=torch.int32)
        self._scaled_up = bool((layer.shift < 0).any())
        self._odd = (self._shift > 0).to(torch.int32)

    def __call__(self, codes: Tensor) -> Tensor:
        skeleton = self._target == SKELETON
        shape = (len(codes), len(self._start))
        out = torch.empty(shape, dtype=torch.int32 if skeleton else _dtype(self._target))
        for part in _parts(len(codes)):
            acc = self._accumulators(codes[part])
            rounded = self._round(acc, acc >> self._shift)
            rounded.clamp_(self._target.low, self._target.high)
            out[part] = rounded.add_(_MAGIC_BITS if skeleton else _offset(self._target))
        return out.view(torch.float32) if skeleton else out

    def accumulate(self, skeleton: Tensor, codes: Tensor) -> Tensor:
        for part in _parts(len(codes)):
            acc = self._accumulators(codes[part])
            bits = skeleton[part].view(torch.int32)
            rounded = self._round(acc, (acc >> self._shift).add_(bits))
            bits.add_(rounded.clamp_(2 * SKELETON.low, -2 * SKELETON.low))
            _saturate(skeleton[part])
        return skeleton

    def _accumulators(self, codes: Tensor) -> Tensor:
        """``bias + sum w a`` plus half of what the shift takes for 1."""
        flipped = codes ^ 128
        if self._wide:
            activations = [flipped.to(torch.int8), (codes >> 8).to(torch.int8)]
        else:
            activations = [flipped.view(torch.int8)]
        sums: list[Tensor] = []
        for i, a in enumerate(activations):
            for j, w in enumerate(self._weights):
                product = torch._int_mm(a, w)
                if i + j < len(sums):
                    sums[i + j].add_(product)
                else:
                    sums.append(product)
        acc = sums.pop()
        while sums:
            acc = sums.pop().add_(acc, alpha=256)
        acc.add_(self._start)
        return acc.bitwise_left_shift_(self._up) if self._scaled_up else acc

    def _round(self, acc: Tensor, rounded: Tensor) -> Tensor:
        """Accumulators shifted after a half was added; ``rounded`` says what is odd if rounded up.

        Taking 1 from those pulls exactly the ties among them down, to even.
        """
        return acc.sub_(rounded.bitwise_and_(self._odd)).bitwise_right_shift_(self._shift)


class _Depthwise:
    def __init__(self, layer: Depthwise) -> None:
        scale = np.ldexp(1.0, -layer.shift)
        self._target = layer.target
        self._scale = torch.tensor(scale, dtype=torch.float32)
        self._bias = torch.tensor(layer.bias * scale, dtype=torch.float32)
        self._channels = len(layer.weight)
        self._zero = torch.zeros(self._channels, dtype=torch.int32)
        self._weight = torch.ops.onednn.qconv_prepack(
            torch.tensor(layer.weight[:, None], dtype=torch.int8),
            *(self._scale, 1.0, 0, [1, 1], [1, 1], [1, 1], self._channels, None),
        )

    def __call__(self, codes: Tensor) -> Tensor:
        fused = not self._target.signed and self._target.bits <= 8
        dtype, post = (torch.uint8, _relu(self._target)) if fused else (torch.float32, ("none", []))
        planes = torch.ops.onednn.qconv_pointwise(
            *(codes.permute(2, 0, 1)[None], 1.0, 0, self._weight, self._scale, self._zero),
            *(self._bias, [1, 1], [1, 1], [1, 1], self._channels, 1.0, 0, dtype, *post, ""),
        )
        frame: Tensor = planes[0].permute(1, 2, 0)
        if fused:
            return frame
        frame.add_(_MAGIC + _offset(self._target))
        return _clamped(frame, self._target).to(_dtype(self._target))


def _offset(grid: Grid) -> int:
    """Offset of a code from its integer: the least that makes codes of up to 8 bits unsigned."""
    return -grid.low if grid.bits <= 8 else 0


def _dtype(grid: Grid) -> torch.dtype:
    return torch.int16 if grid.bits == 16 else torch.uint8


def _relu(grid: Grid) -> tuple[str, list[float]]:
    """Post-operation for an unsigned grid; the conversion to uint8 saturates by itself."""
    return ("relu", []) if grid.bits == 8 else ("hardtanh", [0.0, float(grid.high)])


def _clamped(sums: Tensor, grid: Grid) -> Tensor:
    """``MAGIC + offset + integer``, clamped in place, as int32 whose low bits are the code."""
    base = _MAGIC + _offset(grid)
    return sums.clamp_(base + grid.low, base + grid.high).view(torch.int32)


def _saturate(skeleton: Tensor) -> Tensor:
    return skeleton.clamp_(_MAGIC + SKELETON.low, _MAGIC + SKELETON.high)


def _parts(rows: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, rows, _ROWS))
