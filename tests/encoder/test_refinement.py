"""Latents that move against the gradient of the error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.constants import INTER, INTRA, LATENT_EXPONENT, STEP_EXPONENT, UNIT
from roicodec.decoder.planes import Packed
from roicodec.encoder.refinement import LatentRefiner
from roicodec.networks.blocks import set_branch_dtype
from roicodec.networks.restore import restore_network
from tests.encoder.trials import HEIGHT, POSITIONS, WIDTH, Latents, Trial, setting, trial

_STEP_30 = 243.7 * 2 ** (-75 / 14 * 30 / 63)
"""Nominal quantizer step of quality index 30, as docs/format.md has it."""


def _squares(error: Packed) -> list[float]:
    """Mean squared error of Y, U and V."""
    return [float(np.square(p.astype(float)).mean()) for p in np.split(error, [64, 80], 1)]


def _badness(found: Trial, latents: Latents) -> float:
    """Logarithm of the mean squares, as PSNR (6 Y + U + V) / 8 weighs them."""
    error, _ = found.error(latents)
    y, u, v = _squares(error)
    return float(6 * np.log(y) + np.log(u) + np.log(v))


def _moves(found: Trial, latents: Latents) -> NDArray[np.float32]:
    refine = LatentRefiner(found.codec.model)
    return refine(found.frame, latents.ravel().astype(np.float32), latents, *found.error(latents))


@pytest.mark.parametrize("bits", [(8, 8), (16, 4)])
@pytest.mark.parametrize("kind", [INTRA, INTER])
@torch.inference_mode()
def test_a_part_of_the_way_lessens_the_error(kind: int, bits: tuple[int, int]) -> None:
    found = trial(setting(kind, bits))
    latents = found.latents()
    moves = _moves(found, latents)
    assert moves.dtype == np.float32
    moved = latents + moves.reshape(latents.shape)
    before = _badness(found, latents)
    after = _badness(found, np.rint(moved).astype(np.int16))
    back = _badness(found, np.rint(2 * latents - moved).astype(np.int16))
    assert after < before - 1 < before + 1 < back


@torch.inference_mode()
@pytest.mark.parametrize("kind", [INTRA, INTER])
def test_moves_are_the_derivative(kind: int) -> None:
    """Against finite differences, through the restored network and with weights of its own."""
    found = trial(setting(kind))
    latents = found.latents()
    error, _ = found.error(latents)
    moves = _moves(found, latents)

    frame, network = found.frame, found.frame.model.network
    net = restore_network(network.arrays.raw).eval()
    set_branch_dtype(net, torch.float32)
    start = net.synthesis_quality(torch.tensor([30.0]))[:, :, None, None]
    context = None
    path = network.architecture.context
    if frame.context is not None and path is not None:
        values = network.context_values(frame.layout, frame.context)
        unit = 2.0 ** int(network.arrays.exponents(path.out.target)[0])
        context = torch.from_numpy(values).float().T.reshape(1, -1, HEIGHT, WIDTH) * unit
    luma, *chroma = _squares(error)
    u, v = (4 / 6 * luma / square for square in chroma)
    weight = torch.tensor([1.0] * 64 + [u] * 16 + [v] * 16)

    def pull(of: Tensor) -> float:
        """What the weighted error, as it is, makes of a change of the reconstruction."""
        planes = (of.float() * 2.0**LATENT_EXPONENT).view(1, HEIGHT, WIDTH, 96).permute(0, 3, 1, 2)
        made = net.synthesise(planes, start, context)[0].permute(0, 2, 3, 1).reshape(POSITIONS, 96)
        return float((made.double() * weight * torch.from_numpy(error) / UNIT).sum())

    decoded = torch.from_numpy(latents)
    steps = network.steps(frame.quality)
    got, expected = [], []
    for at in np.argsort(-np.abs(moves))[:400:20]:
        one = torch.zeros(POSITIONS * 96)
        one[at] = 8
        one = one.view(POSITIONS, 96)
        slope = (pull(decoded + one) - pull(decoded - one)) / 16
        got.append(moves[at])
        # A quarter of Newton's step; an error of a step of its own makes 0.87 quantizer steps².
        own = steps[0, at % 96] * 2.0**STEP_EXPONENT * UNIT
        curvature = 0.87 * (_STEP_30 / own) ** 2 * 4.0**LATENT_EXPONENT
        expected.append(-0.25 * slope / curvature)
    difference = np.linalg.norm(np.subtract(got, expected))
    assert difference < 0.08 * np.linalg.norm(expected)


@torch.inference_mode()
def test_what_is_right_or_skipped_stays() -> None:
    found = trial(setting(INTER, skip=True))
    latents = found.latents()
    error, active = found.error(latents)
    refine, target = LatentRefiner(found.codec.model), latents.ravel().astype(np.float32)
    assert not refine(found.frame, target, latents, np.zeros_like(error), active).any()
    moves = _moves(found, latents).reshape(HEIGHT, WIDTH, 96)
    assert not moves[2:4, 2:4].any()
    assert moves.any(2).sum() == POSITIONS - 4
