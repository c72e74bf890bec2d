"""A coding step of the latents, between the network and the coder of the symbols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import Ints
from roicodec.kernels.latents import LatentModel, LatentStep, latent_model, latent_values

__all__ = ["CodingStep", "Distribution", "LatentCoder", "StepCoder", "code_step"]


@dataclass(frozen=True)
class Distribution:
    """Model of the latents that one coding step codes, in coding order.

    Attributes:
        latents: places, tables and quantizer steps of N latents.
        mean: int16 ``[N]``.
        ratios: class of each channel's ratio (:mod:`roicodec.decoder.adaptation`), int32 ``[96]``.
    """

    latents: LatentModel
    mean: NDArray[np.int16]
    ratios: Ints


LatentCoder = Callable[[Distribution], Ints]
"""Chooser of the symbols of a coding step."""


@dataclass(frozen=True)
class CodingStep:
    """A coding step before its symbols.

    Attributes:
        latents: which are coded, and the tables that the network names.
        mean: int16 ``[N]``, in coding order.
        ratios: class of each channel's ratio (:mod:`roicodec.decoder.adaptation`), int32 ``[96]``.
        expected: mean magnitude under each table, int64 ``[T]``.
    """

    latents: LatentStep
    mean: NDArray[np.int16]
    ratios: Ints
    expected: NDArray[np.int64]


StepCoder = Callable[[CodingStep, NDArray[np.int16]], tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Coder of a step, which puts the latents' values in their places, int16 ``[(H/8) (W/8), 96]``;
returns what :meth:`~roicodec.decoder.adaptation.ChannelSums.add` takes."""


def code_step(
    coder: LatentCoder, step: CodingStep, latents: NDArray[np.int16]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Values of a step whose symbols are chosen.

    Args:
        coder: chooses them.
        step: the step.
        latents: int16 ``[(H/8) (W/8), 96]``, changed.

    Returns:
        sums of the magnitudes, as a :data:`StepCoder` does.
    """
    model = Distribution(latent_model(*step.latents), step.mean, step.ratios)
    return latent_values(coder(model), step.mean, model.latents, step.expected, latents)
