"""The rate-distortion loss over all qualities."""

from __future__ import annotations

import torch
from torch import Tensor

from roicodec.model.networks import QUALITIES, FrameOutput, quantizer_step, unpack
from roicodec.train.data import Batch

__all__ = ["CHROMA_SAMPLE_WEIGHT", "RateDistortion", "quality_weight", "rate_distortion"]

LUMA_WEIGHT, CHROMA_WEIGHT = 0.75, 0.125 * 2.5
CHROMA_SAMPLE_WEIGHT = (CHROMA_WEIGHT / 64) / (LUMA_WEIGHT / 256)
"""Weight of a squared chroma error against a squared luma error, sample by sample.

Above 1, because the measure is the mean of the planes' PSNR, a logarithm, and chroma's error is
the smaller one.
"""

LAMBDA = 0.13
"""Squared error per bit, in squared quantizer steps: near d(MSE)/d(bits) of a uniform quantizer."""


class RateDistortion(dict[str, Tensor]):
    """Per frame ``[B]``: ``bpp``, squared errors ``mse_y``, ``mse_u``, ``mse_v``, and ``loss``."""


def rate_distortion(out: FrameOutput, target: Batch, quality: Tensor) -> RateDistortion:
    """Rate plus distortion over lambda, for every frame of a batch.

    Args:
        out: what the network made of the frames.
        target: their planes, in sample values 0..255.
        quality: indices 0..63, ``[B]``; lambda is proportional to the squared quantizer step.
    """
    pixels = target.y.shape[-1] * target.y.shape[-2]
    bpp = (out.latent_bits.flatten(1).sum(1) + out.hyper_bits) / pixels
    planes = unpack(out.packed)
    mse = [
        (p + 128 - t).square().mean((1, 2))
        for p, t in zip(planes, (target.y, target.u, target.v), strict=True)
    ]
    distortion = LUMA_WEIGHT * mse[0] + CHROMA_WEIGHT * (mse[1] + mse[2])
    lagrange = LUMA_WEIGHT * LAMBDA * quantizer_step(quality).square()
    return RateDistortion(
        bpp=bpp, mse_y=mse[0], mse_u=mse[1], mse_v=mse[2], loss=bpp + distortion / lagrange
    )


def quality_weight(quality: Tensor, slope: float) -> Tensor:
    """Weight that keeps the many bits of high qualities from outvoting the low ones.

    ``slope`` is the natural logarithm of the weight of quality 0 over that of quality 63.
    """
    return torch.exp(slope * (0.5 - quality / (QUALITIES - 1)))
