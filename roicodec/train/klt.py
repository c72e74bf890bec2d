"""The Karhunen-Loeve transform of training blocks, from which the networks start."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from roicodec.train.losses import CHROMA_SAMPLE_WEIGHT

__all__ = ["block_covariance", "klt_basis"]


def _sample_weights() -> Tensor:
    luma = torch.ones(64 * 4)
    chroma = torch.full((32 * 4,), math.sqrt(CHROMA_SAMPLE_WEIGHT))
    return torch.cat((luma, chroma))


def block_covariance(packed: Tensor) -> Tensor:
    """Second moments ``[384, 384]`` of the weighted 16x16 blocks of ``[B, 96, H/8, W/8]``."""
    blocks = F.pixel_unshuffle(packed, 2).permute(0, 2, 3, 1).reshape(-1, 384)
    blocks = blocks * _sample_weights()
    return blocks.T @ blocks / len(blocks)


def klt_basis(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The ``[384, 384]`` projection onto the principal axes, strongest first, and deviations."""
    values, vectors = torch.linalg.eigh(covariance.double())
    basis = _sample_weights()[:, None] * vectors.flip(1).float()
    return basis, values.flip(0).clamp_min(1e-6).sqrt().float()
