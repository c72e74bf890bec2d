"""The blocks as they are trained with quantization: LSQ in the branches, region by region.

A float network becomes a quantized one in place: :func:`quantize_network` measures what flows
through its blocks, spreads the ranges of the channels (*equalization*, by powers of two) and puts
in each block's place a :class:`QuantizedBlock` whose steps start at least squared error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from roicodec.kernels.integer import CANDIDATE_BITS
from roicodec.networks.blocks import (
    BRANCH_DTYPE,
    Block,
    Depthwise,
    Pointwise,
    QualityTable,
    Regions,
    Sandwich,
)
from roicodec.networks.frame_net import FrameNet
from roicodec.networks.lsq import ActivationQuantizer, WeightQuantizer

__all__ = [
    "TRAINED_BITS",
    "QuantizedBlock",
    "calibrate_wide",
    "free_coarsest",
    "free_only",
    "free_unmatched",
    "largest_inputs",
    "load_network",
    "quantize_network",
]

TRAINED_BITS = CANDIDATE_BITS
_SPREAD = 6
_CALIBRATIONS = 6
"""Batches whose largest magnitudes set the channels' ranges. With one batch, and ranges between
deviation and maximum, inter frames at 8 bits lost up to 2.5 dB in 32 frames instead of 0.1."""


class _Branch(nn.Module):
    """A pointwise layer with the quantizers of its input and its weights."""

    def __init__(self, layer: Pointwise, equalize: Tensor | None) -> None:
        super().__init__()
        assert layer.bias is not None
        weight = layer.weight.detach().clone()
        self.equalize: Tensor | None
        if equalize is not None:
            weight *= equalize.exp2()[:, None, None]
        self.register_buffer("equalize", equalize)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(layer.bias.detach().repeat(len(TRAINED_BITS), 1))
        self.input = ActivationQuantizer(TRAINED_BITS, signed=equalize is not None)
        self.steps = WeightQuantizer(TRAINED_BITS, len(weight))

    def forward(self, x: Tensor, bits: int) -> Tensor:
        bias = self.bias[TRAINED_BITS.index(bits)].to(BRANCH_DTYPE)
        if bits == 16:
            return F.conv2d(x.to(BRANCH_DTYPE), self.weight.to(BRANCH_DTYPE), bias)
        codes, weight = self.input(x, bits), self.steps(self.weight, bits)
        return F.conv2d(codes.to(BRANCH_DTYPE), weight.to(BRANCH_DTYPE), bias)

    def equalized(self, x: Tensor) -> Tensor:
        assert self.equalize is not None
        return x * torch.exp2(-self.equalize)[:, None, None]

    @torch.no_grad()
    def calibrate(self, x: Tensor, widths: tuple[int, ...]) -> None:
        """Set steps on data, and the biases so that no output's mean moves.

        Bias correction: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
        Correction", ICCV 2019 (arXiv:1906.04721), section 4.2, here with the data's own means.
        """
        exact = self._mean(x, self.weight)
        for bits in widths:
            k = TRAINED_BITS.index(bits)
            self.input.calibrate(x, bits)
            self.steps.calibrate(self.weight, bits)
            if bits < 16:
                made = self._mean(self.input(x, bits), self.steps(self.weight, bits))
                self.bias[k] = self.bias[-1] + exact - made

    @staticmethod
    def _mean(x: Tensor, weight: Tensor) -> Tensor:
        """Mean of every output over the positions, less its bias."""
        return weight.flatten(1) @ x.mean((0, 2, 3))


class QuantizedBlock(nn.Module):
    """A :class:`~roicodec.networks.blocks.Block` whose branches are quantized.

    Depthwise layers keep 8 bits on one grid, where regions of different bit-widths meet; at 16
    bits training computes in :data:`~roicodec.networks.blocks.BRANCH_DTYPE`.
    """

    def __init__(self, block: Block, equalize_first: Tensor, equalize_second: Tensor) -> None:
        super().__init__()
        self.mix_in = _Branch(block.mix_in, equalize_first)
        self.mix_out = _Branch(block.mix_out, None)
        self.expand = _Branch(block.expand, equalize_second)
        self.project = _Branch(block.project, None)
        self.depthwise = block.depthwise
        self.depthwise_input = ActivationQuantizer((8,), signed=False)
        self.depthwise_steps = WeightQuantizer((8,), len(block.depthwise.weight))
        self.calibrating: tuple[int, ...] = ()

    def forward(
        self, x: Tensor, context: Tensor | None = None, regions: Regions | Sandwich | None = None
    ) -> Tensor:
        """As the float block; ``regions`` defaults to 16 bits everywhere."""
        regions = regions or Regions(16, 16)
        a = self.mix_in.equalized(x if context is None else torch.cat((x, context), 1))
        if self.calibrating:
            self.mix_in.calibrate(a, self.calibrating)
        hidden = F.relu(regions.each(self.mix_in, a)).float()
        if 8 in self.calibrating:
            self.depthwise_input.calibrate(hidden, 8)
            self.depthwise_steps.calibrate(self.depthwise.weight, 8)
        weight = self.depthwise_steps(self.depthwise.weight, 8)
        hidden = self.depthwise_input(hidden, 8)
        hidden = F.relu(_depthwise(self.depthwise, hidden, weight)).float()
        if self.calibrating:
            self.mix_out.calibrate(hidden, self.calibrating)
        x = x + regions.each(self.mix_out, hidden).float()
        a = self.expand.equalized(x)
        if self.calibrating:
            self.expand.calibrate(a, self.calibrating)
        wide = F.relu(regions.each(self.expand, a)).float()
        if self.calibrating:
            self.project.calibrate(wide, self.calibrating)
        return x + regions.each(self.project, wide).float()


def _depthwise(layer: Depthwise, x: Tensor, weight: Tensor) -> Tensor:
    assert layer.bias is not None
    bias = layer.bias.to(BRANCH_DTYPE)
    weight = weight.to(BRANCH_DTYPE)
    return F.conv2d(x.to(BRANCH_DTYPE), weight, bias, padding=1, groups=layer.groups)


@torch.no_grad()
def _spread(top: Tensor) -> Tensor:
    """Exponents that bring channels of these magnitudes to one range: integers ``[C]``.

    Channels that are as good as always zero, in some blocks most of them, have no say and stay.
    """
    alive = top > 1e-5 * top.max()
    usual = top[alive].median() if alive.any() else top.new_ones(())
    spread = torch.log2(top / usual).round().clamp(-_SPREAD, _SPREAD)
    return torch.where(alive, spread, 0.0)


@torch.no_grad()
def _equalize_hidden(before: nn.Conv2d, exponent: Tensor, after: nn.Conv2d) -> None:
    """Divide the channels between two layers by ``2**exponent``; ReLU lets it pass."""
    assert before.bias is not None
    before.weight *= torch.exp2(-exponent)[:, None, None, None]
    before.bias *= torch.exp2(-exponent)
    if after.groups > 1:
        after.weight *= exponent.exp2()[:, None, None, None]
    else:
        after.weight *= exponent.exp2()[:, None, None]


@torch.no_grad()
def largest_inputs(
    layers: Iterable[nn.Module], run: Callable[[], object], times: int
) -> dict[nn.Module, Tensor]:
    """Largest magnitude of every input channel of each layer, float32 ``[C]``, in ``times`` runs.

    Args:
        layers: convolutions of inputs ``[B, C, H, W]``.
        run: passes data through them all.
    """
    seen: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        top = args[0].detach().float().abs().amax((0, 2, 3))
        seen[layer] = torch.maximum(top, seen.get(layer, top))

    handles = [layer.register_forward_pre_hook(keep) for layer in layers]
    for _ in range(times):
        run()
    for handle in handles:
        handle.remove()
    return seen


def quantize_network(net: nn.Module, run: Callable[[], object]) -> None:
    """Replace every block of ``net`` by a quantized one.

    Args:
        net: a trained float network.
        run: passes calibration data through it; called several times before and once after.
    """
    blocks = _blocks(net)
    parts = ("mix_in", "depthwise", "mix_out", "expand", "project")
    layers = [getattr(block, part) for _, block in blocks for part in parts]
    seen = largest_inputs(layers, run, _CALIBRATIONS)
    for name, block in blocks:
        spread = {p: _spread(seen[getattr(block, p)]) for p in parts}
        _equalize_hidden(block.mix_in, spread["depthwise"], block.depthwise)
        _equalize_hidden(block.depthwise, spread["mix_out"], block.mix_out)
        _equalize_hidden(block.expand, spread["project"], block.project)
        _replace(net, name, QuantizedBlock(block, spread["mix_in"], spread["expand"]))
    _calibrate(net, run, TRAINED_BITS)


def calibrate_wide(net: nn.Module, run: Callable[[], object]) -> None:
    """Widen the steps of 16-bit activations to what ``run`` passes through a quantized network.

    Training computes in float at 16 bits, and does not move them when ranges grow. Where they
    shrank, at the worst to nothing but zeros, a finer step would be of no use.
    """
    inputs = [m.input for m in net.modules() if isinstance(m, _Branch)]
    before = [i.log_step.detach().clone() for i in inputs]
    _calibrate(net, run, TRAINED_BITS[-1:])
    with torch.no_grad():
        for quantizer, log_step in zip(inputs, before, strict=True):
            quantizer.log_step.copy_(torch.maximum(quantizer.log_step, log_step))


def free_only(net: nn.Module, bits: int, *, widen: bool) -> None:
    """Leave nothing of a quantized network to be trained but a bit-width's own: steps of weights
    and biases.

    Args:
        net: quantized.
        bits: 2..8.
        widen: first give signed inputs a range no narrower than that of the next wider bit-width.
            Learned on usual content, steps at 4 bits clipped the features of rare textures.
    """
    k = TRAINED_BITS.index(bits)
    net.requires_grad_(False)
    for branch in net.modules():
        if not isinstance(branch, _Branch):
            continue
        if widen and branch.equalize is not None:
            steps = branch.input.log_step
            with torch.no_grad():
                steps[k] = torch.maximum(steps[k], steps[k + 1].round() + 1)
        for free in (branch.bias, branch.steps.log_step):
            own = torch.zeros_like(free)
            own[k] = 1
            free.requires_grad_(True)
            free.register_hook(lambda gradient, own=own: gradient * own)


def free_coarsest(net: nn.Module, anchors: int) -> float:
    """Leave nothing of a network to be trained but the coarsest vectors of its quality tables.

    Args:
        net: float or quantized.
        anchors: how many vectors of each table.

    Returns:
        the quality index, 0..63, from which on none of them counts.
    """
    net.requires_grad_(False)
    tables = [m for m in net.modules() if isinstance(m, QualityTable)]
    for table in tables:
        own = torch.zeros_like(table.table)
        own[:anchors] = 1
        table.table.requires_grad_(True)
        table.table.register_hook(lambda gradient, own=own: gradient * own)
    return anchors / tables[0].scale


def free_unmatched(net: FrameNet) -> None:
    """Leave nothing of an inter network to be trained but what stands for the features of cells
    without a match."""
    net.requires_grad_(False)
    net.unmatched.requires_grad_(True)


def load_network(state: Mapping[str, Tensor], inter: bool) -> FrameNet:
    """A network from a state, float or quantized, as training saves it."""
    net = FrameNet(inter)
    if any(name.endswith("mix_in.input.log_step") for name in state):
        for name, block in _blocks(net):
            first, second = (getattr(block, p).weight.shape[1] for p in ("mix_in", "expand"))
            _replace(net, name, QuantizedBlock(block, torch.zeros(first), torch.zeros(second)))
    net.load_state_dict(state)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _blocks(net: nn.Module) -> list[tuple[str, Block]]:
    return [(n, m) for n, m in net.named_modules() if isinstance(m, Block)]


def _replace(net: nn.Module, name: str, block: QuantizedBlock) -> None:
    parent, _, child = name.rpartition(".")
    setattr(net.get_submodule(parent), child, block)


def _calibrate(net: nn.Module, run: Callable[[], object], widths: tuple[int, ...]) -> None:
    """Set these bit-widths' steps to least squared error on what ``run`` passes; shift biases."""
    blocks: Iterable[QuantizedBlock] = [m for m in net.modules() if isinstance(m, QuantizedBlock)]
    for block in blocks:
        block.calibrating = widths
    run()
    for block in blocks:
        block.calibrating = ()
