"""Cells of inter frames for which training assumes the encoder's choice: skipped, intra-coded."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from roicodec.bitstream.constants import LUMA_CHANNELS, PIXEL_CHANNELS, UNIT
from roicodec.encoder.intra_cells import UNMATCHED_ENERGY, UNMATCHED_RATIO
from roicodec.networks.frame_net import PRICE, FrameOutput, plane_means, quantizer_step
from roicodec.train.losses import CHROMA_SAMPLE_WEIGHT

__all__ = ["skipped", "unmatched"]


def skipped(
    out: FrameOutput,
    x: Tensor,
    prediction: Tensor,
    features: Tensor,
    quality: Tensor,
    matched: Tensor,
) -> FrameOutput:
    """Output with the prediction in cells that the encoder would skip
    (:mod:`roicodec.encoder.skip`).

    The bits of the skip map are not counted.

    Args:
        out: output with all cells coded.
        x, prediction: packed samples in units, ``[B, 96, H/8, W/8]``.
        features: motion-compensated, ``[B, 32, H/8, W/8]``; a skipped cell keeps them.
        quality: indices 0..63, ``[B]``.
        matched: positions that may be skipped, bool ``[B, 1, H/8, W/8]``.
    """
    with torch.no_grad():
        weight = torch.ones(PIXEL_CHANNELS)
        weight[LUMA_CHANNELS:] = CHROMA_SAMPLE_WEIGHT

        def errors(samples: Tensor) -> Tensor:
            squared = (samples - x).square() * weight[:, None, None]
            return 4 * F.avg_pool2d(squared.sum(1, keepdim=True), 2)[:, 0]

        price = PRICE * (quantizer_step(quality) / UNIT).square()[:, None, None]
        skip = out.latent_bits + (errors(out.packed) - errors(prediction)) / price >= 0
        skip &= matched[:, 0, ::2, ::2]
        fine = skip[:, None].repeat_interleave(2, 2).repeat_interleave(2, 3)
    return replace(
        out,
        packed=torch.where(fine, prediction, out.packed),
        features=torch.where(fine, features, out.features),
        latent_bits=torch.where(skip, 0.0, out.latent_bits),
    )


@torch.no_grad()
def unmatched(x: Tensor, prediction: Tensor, quality: Tensor) -> Tensor:
    """Positions of the cells that an encoder would try to code as intra-coded
    (:mod:`roicodec.encoder.intra_cells`), bool ``[B, 1, H/8, W/8]``.

    Args:
        x, prediction: packed samples in units, ``[B, 96, H/8, W/8]``.
        quality: indices 0..63, ``[B]``.
    """

    def energy(difference: Tensor) -> Tensor:
        return 4 * F.avg_pool2d(difference[:, :LUMA_CHANNELS].square().sum(1, keepdim=True), 2)

    residual = energy(x - prediction)
    steps = (quantizer_step(quality) / UNIT)[:, None, None, None]
    cells = energy(x - plane_means(x)) < UNMATCHED_RATIO * residual
    cells &= residual > UNMATCHED_ENERGY * steps.square()
    return cells.repeat_interleave(2, 2).repeat_interleave(2, 3)
