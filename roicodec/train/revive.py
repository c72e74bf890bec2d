"""New weights for dead hidden channels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from roicodec.networks.blocks import Block
from roicodec.networks.quantized import largest_inputs

__all__ = ["revive"]


@torch.no_grad()
def revive(net: nn.Module, run: Callable[[], object], times: int = 24) -> int:
    """New initial input weights for dead hidden channels; all others stay.

    In front of a ReLU a channel that is always negative has no gradient. The output weights of the
    new channels are zero, so that the network computes the same as before.

    Args:
        net: float network.
        run: passes data through it.
        times: number of runs; a channel is dead if it is zero in all of them.

    Returns:
        number of dead channels.
    """
    blocks = [m for m in net.modules() if isinstance(m, Block)]
    layers = [layer for b in blocks for layer in (b.depthwise, b.mix_out, b.project)]
    tops = largest_inputs(layers, run, times)
    count = 0
    for block in blocks:
        across, hidden, wide = (
            tops[layer] == 0 for layer in (block.depthwise, block.mix_out, block.project)
        )
        # A channel that is dead in front of the depthwise layer may be a constant behind it.
        assert block.depthwise.bias is not None
        assert block.mix_out.bias is not None
        constant = F.relu(block.depthwise.bias) * across
        block.mix_out.bias += block.mix_out.weight[:, :, 0, 0] @ constant
        _redraw(block.mix_in, across)
        _redraw(block.depthwise, across | hidden)
        block.mix_out.weight[:, across | hidden] = 0
        _redraw(block.expand, wide)
        block.project.weight[:, wide] = 0
        count += int((across | hidden).sum() + wide.sum())
    return count


def _redraw(layer: nn.Conv2d, dead: Tensor) -> None:
    """New weights of dead outputs: noise with the other outputs' deviation; biases 0."""
    assert layer.bias is not None
    living = layer.weight[~dead] if (~dead).any() else layer.weight
    drawn = torch.randn_like(layer.weight[dead]) * living.square().mean().sqrt()
    # Inputs of a depthwise layer are never negative.
    layer.weight[dead] = drawn.abs() if layer.groups > 1 else drawn
    layer.bias[dead] = 0
