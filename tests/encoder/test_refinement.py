"""Latents that move against the gradient of the error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.constants import INTER, INTRA, LATENT_EXPONENT, STEP_EXPONENT, UNIT
from roicodec.decoder.adaptation import ChannelSums
from roicodec.decoder.frame import CodedLatents, FrameCodec, FrameSetting, PreparedFrame
from roicodec.decoder.planes import Packed, padded
from roicodec.decoder.references import Motion
from roicodec.encoder.refinement import LatentRefiner
from roicodec.kernels.packing import pack
from roicodec.networks.blocks import set_branch_dtype
from roicodec.networks.restore import restore_network
from tests import tiny_model

_GRID = 2, 4
_ROWS = 4 * 8


def _setting(kind: int, bits: tuple[int, int] = (8, 8), *, skip: bool = False) -> FrameSetting:
    mask = np.zeros(_GRID, bool)
    mask[:, 2:] = True
    skipped = np.zeros(_GRID, bool)
    skipped[1, 1] = skip
    motion = Motion(np.zeros((4, 8, 2), np.int16)) if kind == INTER else None
    return FrameSetting(kind, 30, *bits, mask, motion, skipped if kind == INTER else None)


Latents = NDArray[np.int16]


Tried = tuple[Packed, list[NDArray[np.uint8]], float]


def _codec() -> FrameCodec:
    return FrameCodec(64, 32, tiny_model.model(), {8: 0, 16: 3, 4: -6})


def _prepared(codec: FrameCodec, setting: FrameSetting) -> PreparedFrame:
    """The first frame, or one behind a bad one."""
    if setting.kind == INTRA:
        return codec.prepare(setting, ())
    first = codec.prepare(_setting(INTRA), ())
    coded = CodedLatents(np.zeros((_ROWS, 96), np.int16), ChannelSums(96))
    return codec.prepare(setting, (codec.reconstruct(first, coded),))


def _tried(codec: FrameCodec, frame: PreparedFrame, samples: Packed, latents: Latents) -> Tried:
    """Error of a trial, its open ReLUs, and the logarithm of its mean squares as the measure weighs
    them."""
    active: list[NDArray[np.uint8]] = []
    made, _ = codec.synthesise(frame, latents, active)
    error = made - samples
    y, u, v = (np.square(p.astype(float)).mean() for p in np.split(error, [64, 80], 1))
    return error, active, float(6 * np.log(y) + np.log(u) + np.log(v))


def _latents(frame: PreparedFrame, samples: Packed) -> Latents:
    """Coarsely rounded."""
    residual = samples - frame.prediction
    found = frame.model.network.analyse(frame.layout, residual, frame.quality, frame.context)
    return (found // 96 * 96 + 48).astype(np.int16)


@pytest.mark.parametrize("bits", [(8, 8), (16, 4)])
@pytest.mark.parametrize("kind", [INTRA, INTER])
@torch.inference_mode()
def test_a_part_of_the_way_lessens_the_error(kind: int, bits: tuple[int, int]) -> None:
    clip = tiny_model.pictures(64, 32, 2)
    codec = _codec()
    frame, samples = _prepared(codec, _setting(kind, bits)), pack(padded(clip[1]))
    latents = _latents(frame, samples)
    error, active, before = _tried(codec, frame, samples, latents)
    refiner = LatentRefiner(codec.model)
    moves = refiner(frame, latents.ravel().astype(np.float32), latents, error, active)
    assert moves.dtype == np.float32
    moved = latents + moves.reshape(latents.shape)
    *_, after = _tried(codec, frame, samples, np.rint(moved).astype(np.int16))
    *_, back = _tried(codec, frame, samples, np.rint(2 * latents - moved).astype(np.int16))
    assert after < before - 1 < before + 1 < back


@torch.inference_mode()
@pytest.mark.parametrize("kind", [INTRA, INTER])
def test_moves_are_the_derivative(kind: int) -> None:
    """Against finite differences, through the restored network and with weights of its own."""
    clip = tiny_model.pictures(64, 32, 2)
    codec = _codec()
    frame, samples = _prepared(codec, _setting(kind)), pack(padded(clip[1]))
    latents = _latents(frame, samples)
    error, active, _ = _tried(codec, frame, samples, latents)
    target = latents.ravel().astype(np.float32)
    moves = LatentRefiner(codec.model)(frame, target, latents, error, active)

    network = frame.model.network
    net = restore_network(network.arrays.raw).eval()
    set_branch_dtype(net, torch.float32)
    start = net.synthesis_quality(torch.tensor([30.0]))[:, :, None, None]
    context = None
    path = network.architecture.context
    if frame.context is not None and path is not None:
        values = network.context_values(frame.layout, frame.context)
        unit = 2.0 ** int(network.arrays.exponents(path.out.target)[0])
        context = torch.from_numpy(values).float().T.reshape(1, -1, 4, 8) * unit
    squares = [np.square(p.astype(float)).mean() for p in np.split(error, [64, 80], 1)]
    u, v = (4 / 6 * squares[0] / square for square in squares[1:])
    weight = torch.tensor([1.0] * 64 + [u] * 16 + [v] * 16)

    def pull(of: Tensor) -> float:
        """What the weighted error, as it is, makes of a change of the reconstruction."""
        planes = (of.float() * 2.0**LATENT_EXPONENT).view(1, 4, 8, 96).permute(0, 3, 1, 2)
        made = net.synthesise(planes, start, context)[0].permute(0, 2, 3, 1).reshape(_ROWS, 96)
        return float((made.double() * weight * torch.from_numpy(error) / UNIT).sum())

    decoded = torch.from_numpy(latents)
    steps = network.steps(frame.quality)
    found, expected = [], []
    for at in np.argsort(-np.abs(moves))[:400:20]:
        one = torch.zeros(_ROWS * 96)
        one[at] = 8
        one = one.view(_ROWS, 96)
        slope = (pull(decoded + one) - pull(decoded - one)) / 16
        found.append(moves[at])
        # A quarter of Newton's step; an error of a step of its own makes 0.87 quantizer steps².
        own = steps[0, at % 96] * 2.0**STEP_EXPONENT * UNIT
        curvature = 0.87 * (243.7 * 2 ** (-75 / 14 * 30 / 63) / own) ** 2 * 4.0**LATENT_EXPONENT
        expected.append(-0.25 * slope / curvature)
    difference = np.linalg.norm(np.subtract(found, expected))
    assert difference < 0.08 * np.linalg.norm(expected)


@torch.inference_mode()
def test_what_is_right_or_skipped_stays() -> None:
    clip = tiny_model.pictures(64, 32, 2)
    codec = _codec()
    frame, samples = _prepared(codec, _setting(INTER, skip=True)), pack(padded(clip[1]))
    latents = _latents(frame, samples)
    target = latents.ravel().astype(np.float32)
    error, active, _ = _tried(codec, frame, samples, latents)
    refiner = LatentRefiner(codec.model)
    assert not refiner(frame, target, latents, np.zeros_like(error), active).any()
    moves = refiner(frame, target, latents, error, active).reshape(4, 8, 96)
    assert not moves[2:4, 2:4].any()
    assert moves.any(2).sum() == _ROWS - 4
