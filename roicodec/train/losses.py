"""Rate-distortion loss over all qualities."""

from __future__ import annotations

import torch
from torch import Tensor

from roicodec.bitstream.constants import QUALITIES
from roicodec.networks.frame_net import FrameOutput, quantizer_step, unpack
from roicodec.train.data import Batch

__all__ = ["CHROMA_SAMPLE_WEIGHT", "RateDistortion", "rate_distortion", "relative_weight"]

LUMA_WEIGHT, CHROMA_WEIGHT = 0.75, 0.125
CHROMA_SAMPLE_WEIGHT = 2.5 * (CHROMA_WEIGHT / 64) / (LUMA_WEIGHT / 256)
"""Per-sample weight of a squared chroma error against a squared luma error in the encoder.

Above 1 because the measure is a mean of PSNR over planes, which is logarithmic, and chroma's error
is usually 2.5 times smaller.
"""

FINER_CHROMA = (1.0, 10.0)
"""Bounds of the ratio of luma's to chroma's error in the loss, where it is measured per frame."""

LAMBDA = 0.13
"""Lagrange multiplier of the loss: squared error per bit, in squared quantizer steps; near
d(MSE)/d(bits) of a uniform quantizer."""


class RateDistortion(dict[str, Tensor]):
    """Results of each frame, ``[B]``: bits per luma sample ``bpp``, squared errors ``mse_y``,
    ``mse_u`` and ``mse_v``, and ``loss``."""


def rate_distortion(out: FrameOutput, target: Batch, quality: Tensor) -> RateDistortion:
    """Rate plus distortion over lambda, for every frame of a batch.

    Args:
        out: output of the network.
        target: planes of the frames in sample values 0..255.
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
    """Weight of every frame such that a percent counts the same in all content.

    BD-BR is relative: a tenth of the bits of a still scene counts as much as a tenth of those of a
    crowd, though these are twenty times as many. So each frame is weighted by the reciprocal of its
    sequence's loss (the gradient of the logarithm), with a floor for very small ones.

    Args:
        loss: of every frame, ``[F * sequences]``; frames of one time are adjacent.
        quality: indices 0..63, of the same shape.
        sequences: number of sequences that are coded side by side.
    """
    cost = loss.detach().view(-1, sequences).mean(0).repeat(len(loss) // sequences)
    floor = 0.011 * torch.exp(3.3 * quality / (QUALITIES - 1))
    return 1 / (cost + floor)
