"""Learned step size quantization (LSQ) with steps that are powers of two, for training.

Esser et al., "Learned Step Size Quantization", ICLR 2020 (arXiv:1902.08153): the forward pass of
equations 1 and 2, the gradient of the step of equation 3, that of the data of equation 5, the
gradient scale and the initial step of section 2.2. The learned parameter is log2 of the step,
rounded to an integer in the forward pass (straight-through in the backward pass), so that the
trained network computes with integers times powers of two alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from roicodec.errors import ModelError
from roicodec.kernels.integer import MAX_WEIGHT, Grid

__all__ = [
    "SEARCHED_STEPS",
    "ActivationQuantizer",
    "WeightQuantizer",
    "fixed_point",
    "lsq",
    "power_of_two",
]

SEARCHED_STEPS = 8
"""Powers of two that calibration tries, from the smallest that clips nothing downwards."""

_SMALLEST_EXPONENT = -24.0
_WEIGHT_SUM = 3 << 14
"""Limit of ``sum|w|`` of 16-bit integer weights: with 16-bit activations they take three quarters
of the int32 accumulator; the rest is for the bias and the rounding."""


class _PowerOfTwo(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_step: Tensor) -> Tensor:
        step = torch.exp2(log_step.round())
        ctx.save_for_backward(step)
        return step

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (step,) = ctx.saved_tensors
        scaled: Tensor = gradient * step * math.log(2)
        return scaled


class _Lsq(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, v: Tensor, step: Tensor, low: int, high: int, gradient_scale: float
    ) -> Tensor:
        s: Tensor | float = step.item() if step.numel() == 1 else step
        out = (v * (1 / s)).round_().clamp_(low, high).mul_(s)
        ctx.save_for_backward(v, out, step)
        ctx.settings = (low, high, gradient_scale)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        v, out, step = ctx.saved_tensors
        low, high, gradient_scale = ctx.settings
        if step.numel() == 1:
            s = step.item()
            inner = torch.ops.aten.hardtanh_backward(gradient, v, s * low, s * high)
        else:
            inner = torch.where((v > step * low) & (v < step * high), gradient, 0.0)
        if not ctx.needs_input_grad[1]:
            return inner, None, None, None, None
        # d(out)/d(step) is round(v/s) - v/s inside and the clipped integer outside; times s they
        # are out - v and out, which are known.
        terms = (out - v).mul_(inner).addcmul_(gradient - inner, out)
        total = terms.sum_to_size(step.shape) if step.dim() else terms.sum()
        return inner, total * (gradient_scale / step), None, None, None


def power_of_two(log_step: Tensor) -> Tensor:
    """Steps ``2 ** round(log_step)``; the gradient ignores the rounding."""
    return _apply(_PowerOfTwo, log_step)


def lsq(v: Tensor, step: Tensor, low: int, high: int, gradient_scale: float = 1.0) -> Tensor:
    """Quantized data, ``clamp(round_half_even(v / step), low, high) * step``.

    Args:
        v: data, float.
        step: positive powers of two: a scalar, or a tensor that broadcasts against ``v``.
        low, high: range of the integers, ``-Q_N`` and ``Q_P`` of the paper.
        gradient_scale: factor of the gradient of ``step``.
    """
    return _apply(_Lsq, v, step, low, high, gradient_scale)


def fixed_point(v: Tensor, exponent: int, grid: Grid) -> Tensor:
    """Data rounded to ``2**exponent`` and clamped to a grid: a 16-bit tensor in training.

    Args:
        v: data, float.
        exponent: log2 of the step.
        grid: range of the integers.
    """
    return lsq(v, torch.tensor(2.0**exponent), grid.low, grid.high)


class _Quantizer(nn.Module):
    """One step for each candidate bit-width (and channel), initialized on the first data."""

    ready: Tensor

    def __init__(self, candidates: Sequence[int], steps: tuple[int, ...]) -> None:
        super().__init__()
        self.candidates = tuple(candidates)
        self.log_step = nn.Parameter(torch.zeros(len(self.candidates), *steps))
        self.register_buffer("ready", torch.zeros(len(self.candidates), dtype=torch.bool))

    def bounds(self, bits: int) -> tuple[int, int]:
        """Lowest and highest integer at a bit-width."""
        raise NotImplementedError

    def initialize(self, v: Tensor, bits: int) -> None:
        """Initialization of a candidate's step by LSQ's rule, ``2 mean|v| / sqrt(Q_P)``."""
        _, high = self.bounds(bits)
        self._set(bits, torch.log2(2 * self._reduce(v.abs(), torch.mean) / math.sqrt(high)))

    @torch.no_grad()
    def calibrate(self, v: Tensor, bits: int, searched: int = SEARCHED_STEPS) -> None:
        """Calibration of a candidate's step: the power of two of least squared error.

        Args:
            v: data.
            bits: candidate bit-width.
            searched: number of steps tried.
        """
        low, high = self.bounds(bits)
        top = torch.log2(self._reduce(v.abs(), torch.amax) / high).ceil()
        top = top.nan_to_num(neginf=_SMALLEST_EXPONENT)
        best, least = top, torch.full_like(top, math.inf)
        for down in range(searched):
            step = self._broadcast(torch.exp2(top - down), v)
            error = self._reduce((lsq(v, step, low, high) - v).square_(), torch.mean)
            best = torch.where(error < least, top - down, best)
            least = torch.minimum(error, least)
        self._set(bits, best)

    def log_steps(self, v: Tensor, bits: int) -> Tensor:
        """log2 of a candidate's steps before rounding, initialized on ``v`` if they are not yet.

        Raises:
            ModelError: if they are not and the module is not in training.
        """
        k = self._index(bits)
        if not self.ready[k]:
            if not self.training:
                raise ModelError(f"a quantizer has no step for {bits} bits: train or calibrate it")
            self.initialize(v.detach(), bits)
        return self.log_step[k]

    def forward(self, v: Tensor, bits: int) -> Tensor:
        """Quantized ``v``: integers times the step, in the shape of ``v``."""
        low, high = self.bounds(bits)
        step = self._broadcast(power_of_two(self.log_steps(v, bits)), v)
        return lsq(v, step, low, high, 1 / math.sqrt(v[0].numel() * high))

    @torch.no_grad()
    def integers(self, v: Tensor, bits: int) -> tuple[Tensor, Tensor]:
        """Integers of ``v`` and exponents of the steps, both int64."""
        low, high = self.bounds(bits)
        exponent = self.log_steps(v, bits).round()
        step = self._broadcast(torch.exp2(exponent), v)
        return (v / step).round().clamp(low, high).long(), exponent.long()

    def _index(self, bits: int) -> int:
        if bits not in self.candidates:
            raise ModelError(f"bit-width {bits} is not among the candidates {self.candidates}")
        return self.candidates.index(bits)

    @torch.no_grad()
    def _set(self, bits: int, log_step: Tensor) -> None:
        k = self._index(bits)
        self.log_step[k] = log_step.clamp_min(_SMALLEST_EXPONENT)
        self.ready[k] = True

    def _reduce(self, v: Tensor, how: Any) -> Tensor:
        raise NotImplementedError

    def _broadcast(self, step: Tensor, v: Tensor) -> Tensor:
        raise NotImplementedError


class ActivationQuantizer(_Quantizer):
    """Quantizer of activations: one step for the tensor at each candidate bit-width.

    The gradient scale is ``1 / sqrt(N Q_P)`` with N the features of one sample (``v[0]``).

    Args:
        candidates: bit-widths.
        signed: False after a ReLU; clamping at 0 then is the ReLU.
    """

    def __init__(self, candidates: Sequence[int], *, signed: bool) -> None:
        super().__init__(candidates, ())
        self.grids = {bits: Grid(bits, signed=signed) for bits in candidates}

    def bounds(self, bits: int) -> tuple[int, int]:
        self._index(bits)
        return self.grids[bits].low, self.grids[bits].high

    def _reduce(self, v: Tensor, how: Any) -> Tensor:
        reduced: Tensor = how(v if self.grids[self.candidates[0]].signed else v.relu())
        return reduced

    def _broadcast(self, step: Tensor, v: Tensor) -> Tensor:
        return step


class WeightQuantizer(_Quantizer):
    """Quantizer of weights: one step for each output channel at each candidate bit-width.

    The gradient scale is ``1 / sqrt(N Q_P)`` with N the weights of one output channel. At 16 bits
    the step is large enough to keep the accumulators of 16-bit activations within int32. Output
    channels are the first dimension.

    Args:
        candidates: bit-widths.
        channels: number of output channels.
    """

    def __init__(self, candidates: Sequence[int], channels: int) -> None:
        super().__init__(candidates, (channels,))

    def bounds(self, bits: int) -> tuple[int, int]:
        self._index(bits)
        grid = Grid(bits, signed=True)
        return max(grid.low, -MAX_WEIGHT), min(grid.high, MAX_WEIGHT)

    def log_steps(self, v: Tensor, bits: int) -> Tensor:
        log_step = super().log_steps(v, bits)
        if bits < 16:
            return log_step
        # Rounding adds at most half a step to each weight.
        sums = v.detach().abs().flatten(1).sum(1) / (_WEIGHT_SUM - v[0].numel() / 2)
        return torch.maximum(log_step, sums.log2().ceil())

    def _reduce(self, v: Tensor, how: Any) -> Tensor:
        reduced: Tensor = how(v.flatten(1), 1)
        return reduced

    def _broadcast(self, step: Tensor, v: Tensor) -> Tensor:
        return step.view(-1, *[1] * (v.dim() - 1))


def _apply(function: type[torch.autograd.Function], *arguments: object) -> Tensor:
    result: Tensor = function.apply(*arguments)
    return result
