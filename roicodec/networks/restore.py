"""Float networks restored from the integers that are shipped, to continue training.

The inverse of :mod:`roicodec.networks.export` as far as there is one: steps of activations, biases
at each bit-width and all rounded bits are lost; depthwise weights have 8 bits.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.constants import (
    BIAS_EXPONENT,
    HYPER_ALPHABET,
    HYPER_CONTEXTS,
    LATENT_EXPONENT,
    QUALITIES,
    STEP_EXPONENT,
    UNIT,
)
from roicodec.decoder.architecture import FeatureMap, architecture_of
from roicodec.decoder.weights import Arrays
from roicodec.networks.blocks import ANCHORS, QualityTable
from roicodec.networks.frame_net import FrameNet, quantizer_step
from roicodec.networks.quantized import TRAINED_BITS

__all__ = ["quality_anchors", "restore_network"]

_LOGISTIC_DEVIATION = np.pi / np.sqrt(3)
_NARROWEST = 0.04
"""Scale of hyper-latents that are always zero, in quantizer steps."""


def restore_network(arrays: Arrays) -> FrameNet:
    """Float network that computes the same as the integers, up to their rounding.

    Args:
        arrays: integer arrays of one network
            (:func:`~roicodec.networks.export.export_network`).
    """
    architecture = architecture_of(arrays)
    net = FrameNet(architecture.inter)

    def exponent_of(tensor: FeatureMap) -> int:
        return int(arrays[tensor.array][0]) if tensor.exponent is None else tensor.exponent

    sources = {layer.name: exponent_of(layer.source) for layer in architecture.projections}
    state = net.state_dict()
    state["exponent"] = _real(arrays["spread"])
    for name in state:
        layer, _, kind = name.rpartition(".")
        if layer in sources:
            exponent = _real(arrays[f"{layer}.exponent"])
            if kind == "bias":
                exponent = exponent + sources[layer]
            state[name] = _scaled(arrays[name], exponent).view_as(state[name])
        elif f"{layer}.exponent" in arrays:
            state[name] = _of_block(arrays, layer, kind).view_as(state[name])
    qualities = torch.arange(QUALITIES).float()
    for vectors in architecture.quality_vectors:
        rows = _real(arrays[vectors.name]) * 2.0 ** exponent_of(vectors.target)
        state[f"{vectors.name}.table"] = quality_anchors(rows)
    step = _real(arrays["step"]) * 2.0**STEP_EXPONENT
    gain = quantizer_step(qualities)[:, None] / UNIT / step
    state["log_gain.table"] = quality_anchors(gain.log())
    hyper_step = _real(arrays["hyper_step"]) * 2.0**LATENT_EXPONENT
    state["hyper_log_gain.table"] = quality_anchors(-hyper_step.log())
    state["hyper_log_scale.table"] = _hyper_log_scale(arrays).repeat(ANCHORS, 1)
    net.load_state_dict(state)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def quality_anchors(rows: Tensor) -> Tensor:
    """Least-squares anchors of a quality table, float ``[11, C]``, the same on every run.

    Args:
        rows: vectors of all quality indices, ``[64, C]``.
    """
    hats = QualityTable(ANCHORS)
    with torch.no_grad():
        hats.table.copy_(torch.eye(ANCHORS))
        # The solver's last bits depend on the alignment of its memory; after float32 they do not.
        weights = hats(torch.arange(QUALITIES).float()).double()
        solution: Tensor = torch.linalg.lstsq(weights, rows.double()).solution.float()
    return solution


def _of_block(arrays: Arrays, layer: str, kind: str) -> Tensor:
    if kind == "bias":
        bias = _real(arrays[f"{layer}.bias"]) * 2.0**BIAS_EXPONENT
        return bias[TRAINED_BITS.index(16)] if bias.dim() > 1 else bias
    weight = _scaled(arrays[f"{layer}.weight"], _real(arrays[f"{layer}.exponent"]))
    equalize = arrays.get(f"{layer}.equalize")
    return weight if equalize is None else weight * torch.exp2(-_real(equalize))


def _hyper_log_scale(arrays: Arrays) -> Tensor:
    """Log scales of logistic densities as wide as the tables without context, ``[C]``."""
    weights = np.asarray(arrays["tables.hyper"], np.float64)[::HYPER_CONTEXTS, :-1]
    values = np.arange(-HYPER_ALPHABET, HYPER_ALPHABET + 1)
    deviation = np.sqrt((weights * values**2).sum(1) / weights.sum(1))
    return torch.from_numpy(np.log(deviation / _LOGISTIC_DEVIATION + _NARROWEST)).float()


def _real(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def _scaled(values: NDArray[np.generic], exponent: Tensor) -> Tensor:
    codes = _real(values)
    return codes * torch.exp2(exponent).reshape(-1, *[1] * (codes.dim() - 1))
