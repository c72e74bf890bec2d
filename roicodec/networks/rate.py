"""Rate of the latents in training, and quantization with gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["PRICE", "bits_of", "bounded", "quantized", "symbols_of"]

PRICE = 0.08
"""Lambda of RDOQ in training: squared quantizer steps per bit."""

_PULL_SCALE = math.log(0.15)
"""Least log scale of the density from which the residual has its gradient."""


def _logistic_bits(value: Tensor, log_s: Tensor) -> Tensor:
    """Bits of a bin of width 1 under a centred logistic density.

    ``P = sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a))``: the logarithm of this
    product has a gradient however unlikely the value is.

    Args:
        value: centres of the bins.
        log_s: log scales of the densities.
    """
    inverse = torch.exp(-log_s)
    v = value.abs()
    likelihood = F.logsigmoid((0.5 - v) * inverse) + F.logsigmoid((0.5 + v) * inverse)
    return (likelihood + torch.log(-torch.expm1(-inverse))) * (-1 / math.log(2))


class _Bounded(torch.autograd.Function):
    """Clamp that passes the gradient outside its range where it leads back inside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        stays = ((x >= low) | (gradient < 0)) & ((x <= high) | (gradient > 0))
        return gradient * stays, None, None


def bounded(x: Tensor, low: float, high: float) -> Tensor:
    """Values clamped to a range; gradients that lead back into it pass."""
    result: Tensor = _Bounded.apply(x, low, high)  # type: ignore[no-untyped-call]
    return result


def bits_of(residual: Tensor, symbols: Tensor, log_s: Tensor) -> Tensor:
    """Bits of the symbols under the decoder's tables.

    The scale's gradient is that of the symbols: under uniform noise, the usual substitute for
    rounding, every predictably zero symbol would still cost about 2.4 scales. The residual's
    gradient does come from noise, for rounding has none.
    """
    exact = _logistic_bits(symbols, log_s)
    noisy = residual + torch.rand_like(residual) - 0.5
    pull = _logistic_bits(noisy, log_s.detach().clamp_min(_PULL_SCALE))
    return exact + pull - pull.detach()


@torch.no_grad()
def symbols_of(residual: Tensor, log_s: Tensor) -> Tensor:
    """Symbols by RDOQ: the nearest integers, or the next towards zero where that costs less.

    The encoder weighs its symbols in the same way (:class:`roicodec.encoder.rdoq.LatentWriter`).
    """
    r = residual.abs()
    near = r.round()
    less = (near - 1).clamp_min(0)
    saved = PRICE * (_logistic_bits(near, log_s) - _logistic_bits(less, log_s))
    worse = (r - less).square() - (r - near).square()
    return torch.where(worse < saved, less, near) * residual.sign()


def quantized(residual: Tensor, symbols: Tensor) -> Tensor:
    """Symbols with the gradient of the residual (straight-through)."""
    return residual + (symbols - residual).detach()
