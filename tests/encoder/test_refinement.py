"""Latents that move against the gradient of the error."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor

from roicodec.bitstream.constants import INTER, INTRA, LATENT_EXPONENT, STEP_EXPONENT, UNIT
from roicodec.decoder.frame import FrameCore, FrameSetting, Prepared
from roicodec.decoder.planes import pack, padded
from roicodec.encoder.refinement import LatentRefiner
from roicodec.networks.restore import restore_network
from roicodec.picture import Picture
from tests import tiny_model

_GRID = 2, 4
_ROWS = 4 * 8


def _setting(kind: int, bits: tuple[int, int] = (8, 8), *, skip: bool = False) -> FrameSetting:
    mask = np.zeros(_GRID, bool)
    mask[:, 2:] = True
    skipped = np.zeros(_GRID, bool)
    skipped[1, 1] = skip
    vectors = np.zeros((4, 8, 2), np.int16) if kind == INTER else None
    return FrameSetting(kind, 30, *bits, mask, vectors, skipped if kind == INTER else None)


def _core(clip: list[Picture], kind: int) -> FrameCore:
    """At the first frame, or behind a bad one."""
    core = FrameCore(64, 32, tiny_model.model(), {8: 0, 16: 3, 4: -6})
    if kind == INTER:
        core.reconstruct(core.prepare(_setting(INTRA)), torch.zeros(_ROWS, 96, dtype=torch.int16))
    return core


def _tried(
    core: FrameCore, frame: Prepared, samples: Tensor, latents: Tensor
) -> tuple[Tensor, float]:
    """What a frame errs, and the mean square as the measure weighs it."""
    made, _ = core.synthesise(frame, latents)
    error = made - samples
    y, u, v = (p.double().square().mean().item() for p in torch.split(error, [64, 16, 16], 1))
    return error, 6 * np.log(y) + np.log(u) + np.log(v)


def _latents(core: FrameCore, frame: Prepared, samples: Tensor) -> Tensor:
    """Coarsely rounded."""
    network = frame.model.network
    found = network.analyse(
        frame.layout, samples - frame.prediction, frame.quality, frame.context
    )  # fmt: skip
    return (found // 96 * 96 + 48).to(torch.int16)


@pytest.mark.parametrize("bits", [(8, 8), (16, 4)])
@pytest.mark.parametrize("kind", [INTRA, INTER])
@torch.inference_mode()
def test_a_part_of_the_way_lessens_the_error(kind: int, bits: tuple[int, int]) -> None:
    clip = tiny_model.pictures(64, 32, 2)
    core = _core(clip, kind)
    frame, samples = core.prepare(_setting(kind, bits)), pack(padded(clip[1]))
    latents = _latents(core, frame, samples)
    error, before = _tried(core, frame, samples, latents)
    refiner = LatentRefiner(core.model)
    moves = refiner(frame, latents.numpy().ravel().astype(np.float32), latents, error)
    assert moves.dtype == np.float32
    moved = latents + torch.from_numpy(moves).view(latents.shape)
    _, after = _tried(core, frame, samples, moved.round().to(torch.int16))
    _, back = _tried(core, frame, samples, (2 * latents - moved).round().to(torch.int16))
    assert after < before - 1 < before + 1 < back


@patch("roicodec.networks.blocks.BRANCH_DTYPE", torch.float32)
@torch.inference_mode()
def test_moves_are_the_derivative() -> None:
    """Against finite differences, through the restored network and with weights of its own."""
    clip = tiny_model.pictures(64, 32, 1)
    core = _core(clip, INTRA)
    frame, samples = core.prepare(_setting(INTRA)), pack(padded(clip[0]))
    latents = _latents(core, frame, samples)
    error, _ = _tried(core, frame, samples, latents)
    refiner = LatentRefiner(core.model)
    moves = refiner(frame, latents.numpy().ravel().astype(np.float32), latents, error)

    net = restore_network(core.model.intra.network.arrays.raw).eval()
    start = net.synthesis_quality(torch.tensor([30.0]))[:, :, None, None]
    squares = [p.double().square().mean().item() for p in torch.split(error, [64, 16, 16], 1)]
    u, v = (4 / 6 * squares[0] / square for square in squares[1:])
    weight = torch.tensor([1.0] * 64 + [u] * 16 + [v] * 16)

    def pull(of: Tensor) -> float:
        """What the weighted error, as it is, makes of a change of the reconstruction."""
        planes = (of.float() * 2.0**LATENT_EXPONENT).view(1, 4, 8, 96).permute(0, 3, 1, 2)
        made = net.synthesise(planes, start)[0].permute(0, 2, 3, 1).reshape(_ROWS, 96)
        return float((made.double() * weight * error / UNIT).sum())

    steps = frame.model.network.steps(frame.quality)
    found, expected = [], []
    for at in np.argsort(-np.abs(moves))[:400:40]:
        one = torch.zeros(_ROWS * 96)
        one[at] = 8
        one = one.view(_ROWS, 96)
        slope = (pull(latents + one) - pull(latents - one)) / 16
        found.append(moves[at])
        # A quarter of Newton's step; an error of a step of its own makes 0.87 quantizer steps².
        own = steps[0, at % 96] * 2.0**STEP_EXPONENT * UNIT
        curvature = 0.87 * (243.7 * 2 ** (-75 / 14 * 30 / 63) / own) ** 2 * 4.0**LATENT_EXPONENT
        expected.append(-0.25 * slope / curvature)
    assert found == pytest.approx(expected, rel=0.03)


@torch.inference_mode()
def test_what_is_right_or_skipped_stays() -> None:
    clip = tiny_model.pictures(64, 32, 2)
    core = _core(clip, INTER)
    frame, samples = core.prepare(_setting(INTER, skip=True)), pack(padded(clip[1]))
    latents = _latents(core, frame, samples)
    target = latents.numpy().ravel().astype(np.float32)
    error, _ = _tried(core, frame, samples, latents)
    refiner = LatentRefiner(core.model)
    assert not refiner(frame, target, latents, torch.zeros_like(error)).any()
    moves = refiner(frame, target, latents, error).reshape(4, 8, 96)
    assert not moves[2:4, 2:4].any()
    assert moves.any(2).sum() == _ROWS - 4


@patch("roicodec.networks.blocks.BRANCH_DTYPE", torch.float32)
@torch.inference_mode()
def test_bands_make_no_difference() -> None:
    clip = tiny_model.pictures(64, 32, 2)
    core = _core(clip, INTER)
    frame, samples = core.prepare(_setting(INTER, (16, 4))), pack(padded(clip[1]))
    latents = _latents(core, frame, samples)
    target = latents.numpy().ravel().astype(np.float32)
    error, _ = _tried(core, frame, samples, latents)
    refiner = LatentRefiner(core.model)
    whole = refiner(frame, target, latents, error)
    for rows in (1, 3):
        with (
            patch("roicodec.encoder.refinement._POSITIONS", 0),
            patch("roicodec.encoder.refinement._LEAST_ROWS", rows),
        ):
            assert refiner(frame, target, latents, error) == pytest.approx(whole, abs=1e-3)
