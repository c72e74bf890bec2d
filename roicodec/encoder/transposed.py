"""The transposed synthesis of a network, by which errors are taken back to latents.

Codes have 8 bits, and steps that are powers of two. Derivatives by the residual stream stay about
as large as those by the reconstruction (measured: within 10 % in all channels together, behind
every block of both networks at every quality), and each layer's are what follows from them if
channels are independent. Weights have 8 bits but for the layers that add to the stream, whose
rounding would double the error: the derivative is within 4 % of the one without rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.decoder.architecture import ResidualBlock
from roicodec.decoder.layers import NetworkArrays
from roicodec.kernels.back_projection import MIDDLE, BackBlock, BackChain
from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Pointwise, Quantize

__all__ = ["SCALE", "Transposed", "transposed"]

Reals = NDArray[np.float64]
Steps = NDArray[np.int64]

SCALE = 256.0
"""Root mean square that the derivative by luma samples is scaled to, in the integers of rows."""

_ROOM = 8.0
"""Standard deviations that a code has room for: errors are neither normal nor independent."""
_OPEN = 0.5
"""Share of ReLUs that are taken to be open."""
_BYTE = 127
_FINE = 8000
"""Largest weights of layers to the stream, and of all others."""
_HEAVIEST = 30000
"""Largest sum of the weights of an output that reads 16-bit rows: accumulators have 32 bits."""
_CODES, _SHIFTED = Grid(8, signed=True), Grid(8, signed=False)


@dataclass(frozen=True, eq=False)
class Transposed:
    """The transposed synthesis.

    Attributes:
        chain: its layers.
        unit: of the derivatives by latents in units, of those by samples, float32 ``[96]``.
    """

    chain: BackChain
    unit: NDArray[np.float32]


def transposed(arrays: NetworkArrays) -> Transposed:
    """The transposed synthesis of a network.

    Args:
        arrays: of the network.
    """
    net = arrays.architecture
    blocks = tuple(_block(arrays, block) for block in net.synthesis)
    weight = _weight(arrays, net.up.name).T
    # Derivatives by latents are small sums of large terms, and some much larger than others.
    as_it_is, target = np.zeros(weight.shape[1], np.int64), _step_of(_deviations(weight), 1 << 11)
    sizes = np.abs(weight)
    highest = np.floor(_HEAVIEST * sizes.max(1) / np.maximum(sizes.sum(1), 1e-9))
    codes, exponent = _rounded(weight, target, np.maximum(highest, 1))
    bias = np.zeros(len(codes), np.int64)
    up = Pointwise(codes, bias, target - exponent, SKELETON, SKELETON)
    unit = np.exp2(target - arrays.spread).astype(np.float32)
    return Transposed(BackChain(blocks, Quantize(as_it_is, SKELETON), up), unit)


def _weight(arrays: NetworkArrays, name: str) -> Reals:
    """Real weights of a layer, output channels first."""
    weight = arrays.ints(f"{name}.weight").astype(np.float64)
    exponent = arrays.ints(f"{name}.exponent").reshape(-1, *[1] * (weight.ndim - 1))
    weight = np.ldexp(weight, exponent)
    if f"{name}.equalize" in arrays.raw:
        weight = np.ldexp(weight, -arrays.ints(f"{name}.equalize"))
    return weight


def _block(arrays: NetworkArrays, block: ResidualBlock) -> BackBlock:
    mix_in, mix_out, expand, project = (_weight(arrays, name).T for name in block.projections)
    turned = _weight(arrays, block.depthwise)[:, ::-1, ::-1]
    channels = block.stream.channels
    steps = _step_of(np.full(channels, SCALE))
    inside, between = _step_of(_deviations(project)), _deviations(mix_out)
    outer = _step_of(between)
    inner = _step_of(np.sqrt(np.square(turned).sum((1, 2)) * _OPEN) * between)
    onto = np.zeros(channels, np.int64)
    return BackBlock(
        Quantize(steps, _CODES),
        _pointwise(project, steps, inside, _CODES),
        _pointwise(expand, inside, onto, SKELETON),
        _pointwise(mix_out, steps, outer, _SHIFTED),
        _depthwise(turned, outer, inner),
        _pointwise(mix_in[:channels], inner, onto, SKELETON),
    )


def _deviations(weight: Reals) -> Reals:
    """Deviation of each output of a layer that reads derivatives by the stream."""
    return np.asarray(SCALE * np.sqrt(np.square(weight).sum(1)))


def _step_of(deviation: Reals, high: int = _BYTE) -> Steps:
    """Logarithms of the steps of codes up to ``high``."""
    least = np.maximum(deviation, 1e-3)
    return np.rint(np.log2(_ROOM * least / high)).astype(np.int64).clip(-14, 14)


def _pointwise(weight: Reals, source: Steps, target: Steps, grid: Grid) -> Pointwise:
    """A layer that reads codes.

    Args:
        weight: real, ``[Cout, Cin]``.
        source, target: logarithms of the steps of its inputs and of its outputs.
        grid: of its outputs.
    """
    moved = np.ldexp(weight, source)
    codes, exponent = _rounded(moved, target, _FINE if grid == SKELETON else _BYTE)
    shift = target - exponent
    middle = 0 if grid.signed else MIDDLE
    bias = np.rint(np.ldexp(float(middle), shift)).astype(np.int64)
    return Pointwise(codes, bias, shift, _CODES, grid)


def _depthwise(weight: Reals, source: Steps, target: Steps) -> Depthwise:
    """The same of a depthwise layer, whose inputs are around the middle."""
    moved = np.ldexp(weight, source[:, None, None])
    codes, exponent = _rounded(moved, target, _BYTE)
    return Depthwise(codes, -MIDDLE * codes.sum((1, 2)), target - exponent, _SHIFTED, _CODES)


def _rounded(weight: Reals, target: Steps, highest: Reals | int) -> tuple[Steps, Steps]:
    """Weights of each output up to a highest, and the logarithms of their steps, from which shifts
    to a target are in range."""
    shape = (-1, *[1] * (weight.ndim - 1))
    largest = np.abs(weight).reshape(len(weight), -1).max(1)
    exponent = np.ceil(np.log2(np.maximum(largest / highest, 1e-9))).astype(np.int64)
    exponent = exponent.clip(target - 20, target + 7)
    codes = np.rint(np.ldexp(weight, -exponent.reshape(shape)))
    limit = np.broadcast_to(highest, len(weight)).reshape(shape)
    return codes.clip(-limit, limit).astype(np.int64), exponent
