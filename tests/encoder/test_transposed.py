"""Transposed layers against the derivative of the network in floating point."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d

from roicodec.bitstream.constants import INTER, INTRA
from roicodec.decoder.layers import NetworkArrays
from roicodec.decoder.model import Model, load_model
from roicodec.encoder.transposed import SCALE, transposed
from roicodec.kernels.back_projection import back_projected
from roicodec.networks.blocks import Block
from roicodec.networks.frame_net import FrameNet
from roicodec.networks.restore import restore_network
from tests import tiny_model
from tests.encoder.trials import HEIGHT, POSITIONS, WIDTH, setting, trial

SAMPLES = 96


def _planes(rows: NDArray[np.generic]) -> Tensor:
    """Float64 ``[1, channels, height, width]`` from ``[positions, channels]``."""
    return torch.from_numpy(rows.astype(np.float64)).T.reshape(1, -1, HEIGHT, WIDTH)


def _linear(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A layer without its bias, and without what a context adds."""
    weight = conv.weight.double()
    weight = weight if conv.groups > 1 else weight[:, : x.shape[1]]
    return conv2d(x, weight, padding=conv.kernel_size[0] // 2, groups=conv.groups)


def _switched(block: Block, stream: Tensor, active: NDArray[np.uint8]) -> Tensor:
    """A block with switches for its ReLUs."""
    switches = _planes(np.unpackbits(active, axis=1, bitorder="little"))
    sizes = [conv.out_channels for conv in (block.mix_in, block.depthwise, block.expand)]
    first, second, third = torch.split(switches, sizes, 1)
    inside = _linear(block.depthwise, _linear(block.mix_in, stream) * first)
    stream = stream + _linear(block.mix_out, inside * second)
    return stream + _linear(block.project, _linear(block.expand, stream) * third)


def _derivative(
    net: FrameNet, pull: NDArray[np.int16], active: list[NDArray[np.uint8]]
) -> NDArray[np.float64]:
    """Derivative by the latents, in units, of what comes out of synthesis times ``pull``."""
    latents = torch.zeros(1, SAMPLES, HEIGHT, WIDTH, dtype=torch.double, requires_grad=True)
    stream = _linear(net.up, latents / net.exponent.double().exp2()[:, None, None])
    for block, bits in zip(_blocks(net), active, strict=True):
        stream = _switched(block, stream, bits)
    (found,) = torch.autograd.grad((stream * _planes(pull)).sum(), latents)
    return np.asarray(found.reshape(SAMPLES, POSITIONS).T.numpy())


def _blocks(net: FrameNet) -> Iterator[Block]:
    for block in net.synthesis:
        assert isinstance(block, Block)
        yield block


@pytest.fixture(params=["released", "stand-in"])
def model(request: pytest.FixtureRequest) -> Model:
    return load_model() if request.param == "released" else tiny_model.model()


@pytest.mark.parametrize("kind", [INTRA, INTER])
def test_they_give_the_derivative(model: Model, kind: int) -> None:
    """By the ReLUs of a real frame: those that never fire have weights of any size behind them."""
    found = trial(setting(kind), model)
    _, active = found.error(found.latents())
    arrays = found.frame.model.network.arrays
    order = found.frame.layout.order
    raster = np.empty_like(order)
    raster[order] = np.arange(POSITIONS)
    rng = np.random.default_rng(kind)
    pull = SCALE * rng.normal(size=(POSITIONS, arrays.architecture.synthesis[0].stream.channels))
    pull[:, SAMPLES:] = 0  # Nothing is asked of features.
    rows = np.rint(pull).astype(np.int16)

    own = transposed(arrays)
    got = back_projected(own.chain, rows, active, order, (HEIGHT, WIDTH)) * own.unit
    net = restore_network(arrays.raw)
    expected = _derivative(net, rows[raster], [bits[raster] for bits in active])[order]
    print("REL", np.linalg.norm(got - expected) / np.linalg.norm(expected))
    assert np.linalg.norm(got - expected) < 0.05 * np.linalg.norm(expected)


def test_channels_without_weights_stay_zero() -> None:
    raw = dict(tiny_model.model().intra.network.arrays.raw)
    *_, project = NetworkArrays(raw).architecture.synthesis[0].projections
    weight = raw[f"{project}.weight"].copy()
    weight[:, :5] = 0
    raw[f"{project}.weight"] = weight
    back = transposed(NetworkArrays(raw)).chain.blocks[0].project
    assert not back.weight[:5].any()
    assert back.weight[5:].any(1).all()
