"""Blocks as they are trained with quantization: LSQ in the branches, region by region.

:func:`quantize_network` turns a float network into a quantized one in place: it measures the
activations of the blocks, brings the channels to one range (*equalization*, by powers of two) and
replaces each block by a :class:`QuantizedBlock` whose steps start at least squared error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from roicodec.kernels.integer import CANDIDATE_BITS
from roicodec.networks.blocks import (
    Block,
    BranchModule,
    Depthwise,
    Pointwise,
    QualityTable,
    Regions,
    Sandwich,
    set_branch_dtype,
)
from roicodec.networks.frame_net import FrameNet
from roicodec.networks.lsq import SEARCHED_STEPS, ActivationQuantizer, WeightQuantizer

__all__ = [
    "TRAINED_BITS",
    "QuantizedBlock",
    "QuantizedPointwise",
    "calibrate",
    "calibrate_wide",
    "equalization",
    "free_coarsest",
    "free_only",
    "free_unmatched",
    "largest_inputs",
    "load_network",
    "quantize_network",
]

TRAINED_BITS = CANDIDATE_BITS
"""Bit-widths that every branch has steps and biases for."""

_SPREAD = 6
"""Largest magnitude of an equalization exponent."""

_CALIBRATIONS = 6
"""Batches whose largest magnitudes set the channels' ranges. With one batch, and ranges between
deviation and maximum, inter frames at 8 bits lost up to 2.5 dB in 32 frames instead of 0.1."""

_DEAD = 1e-5
"""Share of the block's largest magnitude below which a channel is dead."""


@dataclass(frozen=True)
class _Calibration:
    """Calibration in the next forward pass.

    Attributes:
        widths: bit-widths whose steps and biases are set.
        searched: number of steps tried for each.
    """

    widths: tuple[int, ...]
    searched: int


class QuantizedPointwise(BranchModule):
    """A pointwise layer with the quantizers of its input and its weights.

    Args:
        layer: its float form.
        equalize: log2 of the range of each input channel, ``[Cin]``; None of an unsigned input.
    """

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
        """Output ``[B, Cout, H, W]`` at a bit-width; 16 bits are computed without rounding.

        Args:
            x: input, equalized, ``[B, Cin, H, W]``.
            bits: bit-width of weights and activations.
        """
        dtype = self.branch_dtype
        bias = self.bias[TRAINED_BITS.index(bits)].to(dtype)
        if bits == 16:
            return F.conv2d(x.to(dtype), self.weight.to(dtype), bias)
        codes, weight = self.input(x, bits), self.steps(self.weight, bits)
        return F.conv2d(codes.to(dtype), weight.to(dtype), bias)

    def equalized(self, x: Tensor) -> Tensor:
        """The input with all channels in one range."""
        assert self.equalize is not None
        return x * torch.exp2(-self.equalize)[:, None, None]

    @torch.no_grad()
    def calibrate(self, x: Tensor, widths: tuple[int, ...], searched: int = SEARCHED_STEPS) -> None:
        """Calibration of steps on data, and of biases so that the mean of every output stays.

        Bias correction: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
        Correction", ICCV 2019 (arXiv:1906.04721), section 4.2, here with measured means.

        Args:
            x: equalized input.
            widths: bit-widths whose steps and biases are set.
            searched: number of steps tried for each.
        """
        exact = self._mean(x, self.weight)
        for bits in widths:
            k = TRAINED_BITS.index(bits)
            self.input.calibrate(x, bits, searched)
            self.steps.calibrate(self.weight, bits, searched)
            if bits < 16:
                rounded = self._mean(self.input(x, bits), self.steps(self.weight, bits))
                self.bias[k] = self.bias[-1] + exact - rounded

    @staticmethod
    def _mean(x: Tensor, weight: Tensor) -> Tensor:
        """Mean of every output over the positions, without bias."""
        return weight.flatten(1) @ x.mean((0, 2, 3))


class QuantizedBlock(BranchModule):
    """A :class:`~roicodec.networks.blocks.Block` whose branches are quantized.

    Depthwise layers read 8 bits on one grid, where regions of different bit-widths meet.

    Args:
        block: its float form.
        equalize_first, equalize_second: log2 of the range of each channel that either branch reads.
    """

    def __init__(self, block: Block, equalize_first: Tensor, equalize_second: Tensor) -> None:
        super().__init__()
        self.mix_in = QuantizedPointwise(block.mix_in, equalize_first)
        self.mix_out = QuantizedPointwise(block.mix_out, None)
        self.expand = QuantizedPointwise(block.expand, equalize_second)
        self.project = QuantizedPointwise(block.project, None)
        self.depthwise = block.depthwise
        self.depthwise_input = ActivationQuantizer((8,), signed=False)
        self.depthwise_steps = WeightQuantizer((8,), len(block.depthwise.weight))
        self.calibration: _Calibration | None = None
        set_branch_dtype(self, block.branch_dtype)

    def forward(
        self, x: Tensor, context: Tensor | None = None, regions: Regions | Sandwich | None = None
    ) -> Tensor:
        """The stream behind the block, as of the float block.

        Args:
            x: stream in front of it, ``[B, width, H, W]``.
            context: second input, ``[B, context, H, W]``.
            regions: bit-widths; None is 16 everywhere.
        """
        regions = regions or Regions(16, 16)
        a = self.mix_in.equalized(x if context is None else torch.cat((x, context), 1))
        hidden = F.relu(self._branch(self.mix_in, a, regions)).float()
        self._calibrate_depthwise(hidden)
        weight = self.depthwise_steps(self.depthwise.weight, 8)
        hidden = self.depthwise_input(hidden, 8)
        hidden = F.relu(_depthwise(self.depthwise, hidden, weight, self.branch_dtype)).float()
        x = x + self._branch(self.mix_out, hidden, regions).float()
        wide = F.relu(self._branch(self.expand, self.expand.equalized(x), regions)).float()
        return x + self._branch(self.project, wide, regions).float()

    def _branch(self, layer: QuantizedPointwise, x: Tensor, regions: Regions | Sandwich) -> Tensor:
        """A pointwise layer's output, calibrated on its input first where that is due."""
        if self.calibration:
            layer.calibrate(x, self.calibration.widths, self.calibration.searched)
        return regions.each(layer, x)

    def _calibrate_depthwise(self, hidden: Tensor) -> None:
        if self.calibration and 8 in self.calibration.widths:
            searched = self.calibration.searched
            self.depthwise_input.calibrate(hidden, 8, searched)
            self.depthwise_steps.calibrate(self.depthwise.weight, 8, searched)


def _depthwise(layer: Depthwise, x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    assert layer.bias is not None
    bias = layer.bias.to(dtype)
    return F.conv2d(x.to(dtype), weight.to(dtype), bias, padding=1, groups=layer.groups)


@torch.no_grad()
def equalization(top: Tensor) -> Tensor:
    """Exponents that bring channels to one range when divided by their powers of two.

    Dead channels (the majority in some blocks) are excluded from the median and left unscaled.

    Args:
        top: largest magnitude of each channel, ``[C]``.

    Returns:
        integers in -6..6, float ``[C]``.
    """
    alive = top > _DEAD * top.max()
    usual = top[alive].median() if alive.any() else top.new_ones(())
    spread = torch.log2(top / usual).round().clamp(-_SPREAD, _SPREAD)
    return torch.where(alive, spread, 0.0)


@torch.no_grad()
def _equalize_hidden(before: nn.Conv2d, exponent: Tensor, after: nn.Conv2d) -> None:
    """Division of the channels between two layers by ``2**exponent``, which commutes with ReLU."""
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
    """Largest magnitude of every input channel of each layer, float32 ``[C]``.

    Args:
        layers: convolutions of inputs ``[B, C, H, W]``.
        run: passes data through them all.
        times: number of runs.
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


def quantize_network(
    net: nn.Module, run: Callable[[], object], searched: int = SEARCHED_STEPS
) -> None:
    """Replacement of every block of a trained float network by a quantized one.

    Args:
        net: the network.
        run: passes calibration data through it; called several times before and once after.
        searched: number of steps that calibration tries for each quantizer.
    """
    blocks = _blocks(net)
    parts = ("mix_in", "depthwise", "mix_out", "expand", "project")
    layers = [getattr(block, part) for _, block in blocks for part in parts]
    seen = largest_inputs(layers, run, _CALIBRATIONS)
    for name, block in blocks:
        spread = {p: equalization(seen[getattr(block, p)]) for p in parts}
        _equalize_hidden(block.mix_in, spread["depthwise"], block.depthwise)
        _equalize_hidden(block.depthwise, spread["mix_out"], block.mix_out)
        _equalize_hidden(block.expand, spread["project"], block.project)
        _replace(net, name, QuantizedBlock(block, spread["mix_in"], spread["expand"]))
    calibrate(net, run, TRAINED_BITS, searched)


def calibrate(
    net: nn.Module,
    run: Callable[[], object],
    widths: tuple[int, ...],
    searched: int = SEARCHED_STEPS,
) -> None:
    """Calibration of a quantized network: steps of least squared error, biases corrected.

    Args:
        net: the network.
        run: passes calibration data through it; called once.
        widths: bit-widths whose steps and biases are set.
        searched: number of steps tried for each quantizer.
    """
    blocks = [m for m in net.modules() if isinstance(m, QuantizedBlock)]
    for block in blocks:
        block.calibration = _Calibration(widths, searched)
    run()
    for block in blocks:
        block.calibration = None


def calibrate_wide(net: nn.Module, run: Callable[[], object]) -> None:
    """Steps of 16-bit activations widened to the range of calibration data.

    Training computes in float at 16 bits and does not move them when ranges grow. They never become
    finer: where ranges shrank, at worst to zeros alone, that would gain nothing.

    Args:
        net: quantized network.
        run: passes calibration data through it; called once.
    """
    inputs = [m.input for m in net.modules() if isinstance(m, QuantizedPointwise)]
    before = [i.log_step.detach().clone() for i in inputs]
    calibrate(net, run, TRAINED_BITS[-1:])
    with torch.no_grad():
        for quantizer, log_step in zip(inputs, before, strict=True):
            quantizer.log_step.copy_(torch.maximum(quantizer.log_step, log_step))


def free_only(net: nn.Module, bits: int, *, widen: bool) -> None:
    """Freezing of a quantized network but for the weight steps and biases of one bit-width.

    Args:
        net: quantized network.
        bits: that bit-width, 2..8.
        widen: first give signed inputs a range no narrower than that of the next wider bit-width.
            Learned on usual content, steps at 4 bits clipped the features of rare textures.
    """
    k = TRAINED_BITS.index(bits)
    net.requires_grad_(False)
    for branch in net.modules():
        if not isinstance(branch, QuantizedPointwise):
            continue
        if widen and branch.equalize is not None:
            steps = branch.input.log_step
            with torch.no_grad():
                steps[k] = torch.maximum(steps[k], steps[k + 1].round() + 1)
        for free in (branch.bias, branch.steps.log_step):
            _free_rows(free, slice(k, k + 1))


def free_coarsest(net: nn.Module, anchors: int) -> float:
    """Freezing of a network but for the vectors of the lowest qualities in its quality tables.

    Args:
        net: float or quantized network.
        anchors: number of vectors of each table.

    Returns:
        the lowest quality index, 0..63, that none of them affects.
    """
    net.requires_grad_(False)
    tables = [m for m in net.modules() if isinstance(m, QualityTable)]
    for table in tables:
        _free_rows(table.table, slice(anchors))
    return anchors / tables[0].scale


def free_unmatched(net: FrameNet) -> None:
    """Freezing of an inter network but for the vectors of features in intra-coded cells."""
    net.requires_grad_(False)
    net.unmatched.requires_grad_(True)


def _free_rows(parameter: nn.Parameter, rows: slice) -> None:
    """Restriction of gradients to some rows of a parameter."""
    kept = torch.zeros_like(parameter)
    kept[rows] = 1
    parameter.requires_grad_(True)
    parameter.register_hook(lambda gradient: gradient * kept)


def load_network(state: Mapping[str, Tensor], inter: bool) -> FrameNet:
    """Network from a state dictionary, float or quantized, as training saves it.

    Args:
        state: parameters and buffers by name.
        inter: whether it is an inter network.
    """
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
