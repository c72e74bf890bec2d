"""Export of a trained, quantized network to the integers that are shipped.

Exponents that the architecture does not fix follow from the ranges of calibration data, with a
margin of a factor of four.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from roicodec.bitstream.constants import (
    BIAS_EXPONENT,
    LATENT_EXPONENT,
    QUALITIES,
    STEP_EXPONENT,
    UNIT,
)
from roicodec.decoder.architecture import FeatureMap
from roicodec.errors import ModelError
from roicodec.kernels.integer import MAX_WEIGHT
from roicodec.networks.frame_net import FrameNet, quantizer_step
from roicodec.networks.quantized import TRAINED_BITS, QuantizedBlock, QuantizedPointwise

__all__ = ["export_network", "measured_ranges"]

Arrays = dict[str, NDArray[np.generic]]

_LIMIT = 0.9 * 2**31
"""Largest magnitude of an accumulator; the rest of int32 is for rounding."""

_MARGIN = 4
"""Factor between the largest magnitude on calibration data and the end of the grid."""


class measured_ranges:
    """Context manager that records the largest magnitude of each feature map whose exponent is
    measured.

    ``with measured_ranges(net) as ranges: run()``; ``ranges`` maps names to magnitudes.
    """

    def __init__(self, net: FrameNet) -> None:
        self.net = net
        self.ranges: dict[str, float] = {}
        self.handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> dict[str, float]:
        architecture = self.net.architecture
        watched = [(target.name, layer.name) for target, layer in architecture.measured()]
        watched += [
            (block.stream.name, block.name)
            for block in architecture.blocks
            if block.stream.exponent is None
        ]
        for name, layer in watched:

            def keep(_m: nn.Module, _a: object, out: Tensor, key: str = name) -> None:
                self.ranges[key] = max(self.ranges.get(key, 0.0), float(out.abs().max()))

            self.handles.append(self.net.get_submodule(layer).register_forward_hook(keep))
        return self.ranges

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


def export_network(net: FrameNet, ranges: dict[str, float]) -> Arrays:
    """Integer arrays of a network, by name.

    Args:
        net: trained network with quantized blocks.
        ranges: of :class:`measured_ranges`, over representative data.

    Raises:
        ModelError: if a layer cannot be written in the integers of ``docs/arithmetic.md``.
    """
    architecture, spread = net.architecture, net.exponent.long()
    out: Arrays = {"spread": _int8(spread)}
    for tensor, _ in architecture.measured():
        exponent = math.ceil(math.log2(_MARGIN * ranges[tensor.name] / tensor.grid.high))
        out[tensor.array] = np.array([exponent], np.int8)

    def exponents(tensor: FeatureMap) -> Tensor:
        one = int(out[tensor.array][0]) if tensor.exponent is None else tensor.exponent
        whole = torch.full((tensor.channels,), one)
        return whole - spread if tensor.by_spread else whole

    for projection in architecture.projections:
        layer = net.get_submodule(projection.name)
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        source = int(exponents(projection.source)[0])
        target = torch.cat([exponents(tensor) for tensor in projection.targets]).double()
        out |= _projection(projection.name, layer.weight, layer.bias, source, target)
    for name, module in net.named_modules():
        if isinstance(module, QuantizedBlock):
            out |= _block(name, module)
    qualities = torch.arange(QUALITIES).float()
    with torch.no_grad():
        step = quantizer_step(qualities)[:, None] / UNIT * torch.exp(-net.log_gain(qualities))
        out["step"] = _fixed(step, STEP_EXPONENT, np.int16)
        for vectors in architecture.quality_vectors:
            table = net.get_submodule(vectors.name)
            exponent = int(exponents(vectors.target)[0])
            out[vectors.name] = _fixed(table(qualities), exponent, np.int16)
        hyper_step = torch.exp(-net.hyper_log_gain(qualities))
        out["hyper_step"] = _fixed(hyper_step, LATENT_EXPONENT, np.int16)
    return out


def _projection(name: str, weight: Tensor, bias: Tensor, source: int, target: Tensor) -> Arrays:
    """16-bit weights, their exponents, and biases in units of the accumulator."""
    w, b = weight.detach().flatten(1).double(), bias.detach().double()
    exponent = _exponents(w, b, source)
    # The accumulator's unit must not be coarser than the target's, nor finer by 2**24: the few bits
    # that the weights of a dead channel have are moved up by 6 when it is loaded.
    exponent = torch.minimum(exponent, target - source)
    exponent = torch.maximum(exponent, target - source - 24)
    codes = torch.round(w * torch.exp2(-exponent)[:, None])
    acc_bias = torch.round(b * torch.exp2(-exponent - source))
    reach = codes.abs().sum(1) * 32768 + acc_bias.abs()
    if codes.abs().max() > MAX_WEIGHT or reach.max() > _LIMIT:
        raise ModelError(f"{name}: its weights do not fit 16 bits and a 32-bit accumulator")
    return {
        f"{name}.weight": codes.to(torch.int16).numpy(),
        f"{name}.exponent": _int8(exponent),
        f"{name}.bias": acc_bias.to(torch.int32).numpy(),
    }


def _exponents(w: Tensor, b: Tensor, source: int) -> Tensor:
    """Finest exponent of each channel that 16-bit weights and the accumulator allow, ``[Cout]``."""
    need = torch.maximum(w.abs().amax(1) / 32000, (w.abs().sum(1) * 32768) / (_LIMIT - 2**28))
    need = torch.maximum(need, b.abs() * 2.0 ** (-source) / 2**27)
    return need.clamp_min(2.0**-30).log2().ceil()


def _block(name: str, block: QuantizedBlock) -> Arrays:
    out: Arrays = {}
    for part in ("mix_in", "mix_out", "expand", "project"):
        out |= _branch(f"{name}.{part}", getattr(block, part))
    codes, exponent = block.depthwise_steps.integers(block.depthwise.weight, 8)
    assert block.depthwise.bias is not None
    out[f"{name}.depthwise.weight"] = codes[:, 0].to(torch.int8).numpy()
    out[f"{name}.depthwise.exponent"] = _int8(exponent)
    out[f"{name}.depthwise.bias"] = _fixed(block.depthwise.bias, BIAS_EXPONENT, np.int32)
    out[f"{name}.depthwise.input"] = _int8(block.depthwise_input.log_step.round())
    return out


def _branch(name: str, branch: QuantizedPointwise) -> Arrays:
    w = branch.weight.detach().flatten(1).double()
    narrow = [b for b in TRAINED_BITS if b < 16]
    steps = [branch.steps.integers(branch.weight, bits)[1] for bits in narrow]
    inputs = branch.input.log_step.detach().round()
    bias = branch.bias.detach().double()
    exponent = _exponents(w, bias.abs().amax(0), int(inputs[-1]))
    out = {
        f"{name}.weight": torch.round(w * torch.exp2(-exponent)[:, None]).to(torch.int16).numpy(),
        f"{name}.exponent": _int8(exponent),
        f"{name}.steps": _int8(torch.stack(steps)),
        f"{name}.input": _int8(inputs),
        f"{name}.bias": _fixed(bias, BIAS_EXPONENT, np.int32),
    }
    if branch.equalize is not None:
        out[f"{name}.equalize"] = _int8(branch.equalize)
    return out


def _fixed(values: Tensor, exponent: int, dtype: type[np.signedinteger]) -> NDArray[np.generic]:
    codes = torch.round(values.detach().double() * 2.0**-exponent)
    limits = np.iinfo(dtype)
    return codes.clamp(limits.min, limits.max).numpy().astype(dtype)


def _int8(values: Tensor) -> NDArray[np.generic]:
    v = values.detach().round()
    if v.abs().max() > 127:
        raise ModelError("an exponent does not fit 8 bits")
    return v.to(torch.int8).numpy()
