"""The rate-distortion loss over all qualities."""

from __future__ import annotations

import torch
from torch import Tensor

from roicodec.bitstream.constants import QUALITIES
from roicodec.networks.frame_net import FrameOutput, quantizer_step, unpack
from roicodec.train.data import Batch

__all__ = ["CHROMA_SAMPLE_WEIGHT", "RateDistortion", "rate_distortion", "relative_weight"]

LUMA_WEIGHT, CHROMA_WEIGHT = 0.75, 0.125
CHROMA_SAMPLE_WEIGHT = 2.5 * (CHROMA_WEIGHT / 64) / (LUMA_WEIGHT / 256)
"""Weight of a squared chroma error against a squared luma error, sample by sample, in the encoder.

Above 1, because the measure is the mean of the planes' PSNR, a logarithm, and chroma's error is
the smaller one, 2.5 times usually.
"""

FINER_CHROMA = (1.0, 10.0)
"""Bounds of that ratio of errors in the loss, where it is each frame's own."""

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
    with torch.no_grad():
        finer = [(mse[0] / m.clamp_min(1e-3)).clamp(*FINER_CHROMA) for m in mse[1:]]
    distortion = LUMA_WEIGHT * mse[0] + CHROMA_WEIGHT * (finer[0] * mse[1] + finer[1] * mse[2])
    lagrange = LUMA_WEIGHT * LAMBDA * quantizer_step(quality).square()
    return RateDistortion(
        bpp=bpp, mse_y=mse[0], mse_u=mse[1], mse_v=mse[2], loss=bpp + distortion / lagrange
    )


def relative_weight(loss: Tensor, quality: Tensor, sequences: int) -> Tensor:
    """Weight of every frame, so that a percent counts the same in all content.

    BD-BR is relative: a tenth of the bits of a still scene is worth a tenth of those of a crowd,
    though it has a twentieth of them. So each frame weighs one over what its sequence costs (the
    gradient of the logarithm), up to a floor for the least.

    Args:
        loss: of every frame, ``[F * sequences]``, the frames of a moment together.
        quality: indices 0..63, of the same shape.
        sequences: how many are coded side by side.
    """
    cost = loss.detach().view(-1, sequences).mean(0).repeat(len(loss) // sequences)
    floor = 0.011 * torch.exp(3.3 * quality / (QUALITIES - 1))
    return 1 / (cost + floor)
