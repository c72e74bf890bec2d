"""Calibration of the quantized networks."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial

import pytest
import torch

from roicodec.networks.blocks import Block, Pointwise, set_branch_dtype
from roicodec.networks.quantized import (
    TRAINED_BITS,
    QuantizedBlock,
    QuantizedPointwise,
    calibrate,
    calibrate_wide,
    equalization,
)


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def test_no_mean_moves_by_quantization() -> None:
    torch.manual_seed(3)
    layer, x = Pointwise(16, 8), torch.randn(2, 16, 8, 8).relu()
    branch = QuantizedPointwise(layer, None)
    set_branch_dtype(branch, torch.float32)
    branch.calibrate(x, TRAINED_BITS)
    exact = layer(x)
    for bits in (2, 4, 8):
        made = branch(x, bits)
        assert (made - exact).abs().max() > 1e-3
        torch.testing.assert_close(made.mean((0, 2, 3)), exact.mean((0, 2, 3)), rtol=0, atol=1e-5)


def test_channels_that_are_always_zero_have_no_say_in_the_range() -> None:
    top = torch.tensor([0.0, 0.0, 1.0, 2.0, 4.0, 0.0, 0.0, 0.0])
    assert equalization(top).tolist() == [0, 0, -1, 0, 1, 0, 0, 0]
    assert equalization(torch.zeros(3)).tolist() == [0, 0, 0]


def test_steps_of_sixteen_bits_follow_ranges_that_grew_in_training() -> None:
    torch.manual_seed(3)
    x = torch.randn(2, 8, 8, 8)
    block = QuantizedBlock(Block(8), torch.zeros(8), torch.zeros(8))
    set_branch_dtype(block, torch.float32)
    calibrate(block, lambda: block(x), TRAINED_BITS)
    before = copy.deepcopy(block)
    for data in (4 * x, 0 * x):
        calibrate_wide(block, partial(block, data))
    for now, then in ((block.mix_in, before.mix_in), (block.expand, before.expand)):
        assert now.input.log_step[:-1].equal(then.input.log_step[:-1])
        assert now.input.log_step[-1] == then.input.log_step[-1] + 2
        assert now.bias.equal(then.bias)
