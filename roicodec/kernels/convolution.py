"""Convolutions in single precision, channels last: what the saliency network is made of.

Every output is its bias plus its products in order of taps and input channels, each rounded before
it is added, so that all forms give the same numbers on every machine. What lies outside of a
picture counts as 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = ["Weights", "convolve", "depthwise", "pointwise"]

Floats = NDArray[np.float32]

_PADDING = 16
"""Output channels are continued by zeros to a multiple of this."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights and bias of a convolution over all channels.

    Attributes:
        weight: float32 ``[K, padded]``: K inputs, or taps by inputs.
        bias: float32 ``[padded]``.
        outputs: channels that count, at most ``padded``.
    """

    weight: Floats
    bias: Floats
    outputs: int

    @classmethod
    def of(cls, weight: Floats, bias: Floats) -> Weights:
        """Weights from ``[outputs, inputs]`` or ``[outputs, inputs, 3, 3]``; bias ``[outputs]``."""
        outputs = len(weight)
        taps_first = weight.reshape(outputs, weight.shape[1], -1).transpose(2, 1, 0)
        wide = np.zeros((taps_first[..., 0].size, -(-outputs // _PADDING) * _PADDING), np.float32)
        wide[:, :outputs] = taps_first.reshape(-1, outputs)
        padded = np.zeros(wide.shape[1], np.float32)
        padded[:outputs] = bias
        return cls(wide, padded, outputs)


# --- reference ----------------------------------------------------------------------------------


def _pointwise(x: Floats, weights: Weights, active: bool, added: Floats | None = None) -> Floats:
    inputs = x.shape[-1]
    out = np.tile(weights.bias[: weights.outputs], (*x.shape[:-1], 1))
    for k in range(inputs):
        out += x[..., k, None] * weights.weight[k, : weights.outputs]
    if active:
        out = np.maximum(out, 0)
    return out if added is None else added + out


def _convolve(x: Floats, weights: Weights) -> Floats:
    height, width, _ = x.shape
    around = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    taps = [around[i : i + height : 2, j : j + width : 2] for i in range(3) for j in range(3)]
    return _pointwise(np.concatenate(taps, -1), weights, active=True)


def _depthwise(x: Floats, weight: Floats, bias: Floats, stride: int) -> Floats:
    height, width, _ = x.shape
    around = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    out = np.tile(bias, (-(-height // stride), -(-width // stride), 1))
    for tap in range(9):
        i, j = divmod(tap, 3)
        out += around[i : i + height : stride, j : j + width : stride] * weight[tap]
    return np.maximum(out, 0)


# --- native -------------------------------------------------------------------------------------


def _native_pointwise(
    x: Floats, weights: Weights, active: bool, added: Floats | None = None
) -> Floats:
    inputs = x.shape[-1]
    out = np.empty((*x.shape[:-1], weights.outputs), np.float32)
    if weights.weight.shape[0] != inputs or (added is not None and added.shape != out.shape):
        raise ValueError(f"{inputs} channels for weights {weights.weight.shape}")
    function("rq_float_pointwise", "pllppllipp")(
        *(address(x, np.float32), x.size // inputs, inputs),
        *(address(weights.weight, np.float32), address(weights.bias, np.float32)),
        *(weights.outputs, len(weights.bias), active),
        *(None if added is None else address(added, np.float32), address(out, np.float32)),
    )
    return out


def _native_convolve(x: Floats, weights: Weights) -> Floats:
    height, width, inputs = x.shape
    if len(weights.weight) != 9 * inputs:
        raise ValueError(f"{inputs} channels for weights {weights.weight.shape}")
    out = np.empty((-(-height // 2), -(-width // 2), weights.outputs), np.float32)
    done = function("rq_float_convolve", "plllppllp", "i")(
        *(address(x, np.float32), height, width, inputs),
        *(address(weights.weight, np.float32), address(weights.bias, np.float32)),
        *(weights.outputs, len(weights.bias), address(out, np.float32)),
    )
    if done < 0:
        raise MemoryError("no memory for a row of patches")
    return out


def _native_depthwise(x: Floats, weight: Floats, bias: Floats, stride: int) -> Floats:
    height, width, channels = x.shape
    if weight.shape != (9, channels) or bias.shape != (channels,):
        raise ValueError(f"{channels} channels for weights {weight.shape}")
    out = np.empty((-(-height // stride), -(-width // stride), channels), np.float32)
    function("rq_float_depthwise", "plllpplp")(
        *(address(x, np.float32), height, width, channels),
        *(address(weight, np.float32), address(bias, np.float32)),
        *(stride, address(out, np.float32)),
    )
    return out


# --- operations ---------------------------------------------------------------------------------


def _waves(*shape: int) -> Floats:
    """Numbers of many sizes and both signs, exact in float32."""
    count = np.arange(int(np.prod(shape)))
    return (
        ((count * 7919 % 2003 - 1001) / 256 * 2.0 ** (count % 7 - 3))
        .astype(np.float32)
        .reshape(shape)
    )


def _probe_pointwise(form: Callable[..., Floats]) -> Arrays:
    weights = Weights.of(_waves(21, 13), _waves(21))
    yield form(_waves(19, 13), weights, True, _waves(19, 21))
    yield form(_waves(19, 13), weights, False)


def _probe_convolve(form: Callable[..., Floats]) -> Arrays:
    yield form(_waves(5, 8, 3), Weights.of(_waves(40, 3, 3, 3), _waves(40)))


def _probe_depthwise(form: Callable[..., Floats]) -> Arrays:
    for stride in 1, 2:
        yield form(_waves(4, 5, 21), _waves(9, 21), _waves(21), stride)


pointwise = Operation(
    "float pointwise", _pointwise, _native_pointwise, _probe_pointwise, 0x30326973
)
"""Convolution of 1x1.

Args:
    x: float32 ``[..., K]``.
    weights: of K inputs.
    active: whether what is below 0 becomes 0.
    added: float32 ``[..., outputs]``, added to the result.

Returns:
    float32 ``[..., outputs]``.
"""

convolve = Operation("float convolution", _convolve, _native_convolve, _probe_convolve, 0xC25C4290)
"""Convolution of 3x3 with a stride of 2; what is below 0 becomes 0.

Args:
    x: float32 ``[h, w, K]``.
    weights: of 9 K taps by inputs.

Returns:
    float32 ``[ceil(h/2), ceil(w/2), outputs]``.
"""

depthwise = Operation(
    "float depthwise", _depthwise, _native_depthwise, _probe_depthwise, 0x0D2DA68C
)
"""Convolution of 3x3 of each channel; what is below 0 becomes 0.

Args:
    x: float32 ``[h, w, C]``.
    weight: float32 ``[9, C]``.
    bias: float32 ``[C]``.
    stride: 1 or 2.

Returns:
    float32 ``[ceil(h/stride), ceil(w/stride), C]``.
"""
