"""Karhunen-Loève transform of training blocks, with which the networks are initialized."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from roicodec.bitstream.constants import PIXEL_CHANNELS
from roicodec.train.losses import CHROMA_SAMPLE_WEIGHT

__all__ = ["block_covariance", "klt_basis"]


def _sample_weights() -> Tensor:
    luma = torch.ones(64)
    chroma = torch.full((32,), math.sqrt(CHROMA_SAMPLE_WEIGHT))
    return torch.cat((luma, chroma))


def block_covariance(packed: Tensor) -> Tensor:
    """Second moments of weighted 8x8 blocks, ``[96, 96]``.

    Args:
        packed: packed samples, ``[B, 96, H/8, W/8]``.
    """
    blocks = packed.permute(0, 2, 3, 1).reshape(-1, PIXEL_CHANNELS)
    blocks = blocks * _sample_weights()
    return blocks.T @ blocks / len(blocks)


def klt_basis(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Projection onto the principal axes, strongest first, one a column ``[96, 96]``, and their
    standard deviations ``[96]``.

    Args:
        covariance: of :func:`block_covariance`.
    """
    values, vectors = torch.linalg.eigh(covariance.double())
    basis = _sample_weights()[:, None] * vectors.flip(1).float()
    return basis, values.flip(0).clamp_min(1e-6).sqrt().float()
