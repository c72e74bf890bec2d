"""The transposed synthesis of a network, by which errors are taken back to latents.

A derivative goes through the synthesis backwards: every layer is transposed, and a ReLU that was
closed lets nothing through (:mod:`roicodec.kernels.back_projection`). Here the stored weights
become layers for that, in codes of 8 bits whose steps are powers of two.

Steps follow from one assumption: behind every block, the derivative by a channel of the residual
stream has a root mean square of :data:`SCALE` (measured with the released networks, all channels
together: within 10 %, at every quality). A layer's outputs have the deviation that its weights make
of that if channels are independent, and codes reach :data:`_ROOM` of them. Layers that add to the
stream have weights of 14 bits, since with 8 the error would double. The whole is within some 4 % of
the derivative without rounding.
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
Ints = NDArray[np.int64]

SCALE = 256.0
"""Root mean square that the derivative by luma samples is to be scaled to, in integers of rows."""

_ROOM = 8.0
"""Standard deviations that codes have room for: errors are neither normal nor independent."""

_OPEN = 0.5
"""Share of ReLUs that are taken to be open."""

_SIGNED, _AROUND_MIDDLE = Grid(8, signed=True), Grid(8, signed=False)
"""Codes of derivatives: as they are, and plus :data:`MIDDLE`."""

_WEIGHT = 127
"""Largest weight of layers between codes."""

_STREAM_WEIGHT = 8000
"""Largest weight of layers that add to the stream."""

_WEIGHT_SUM = 30_000
"""Largest sum of an output's weights where inputs have 16 bits: the accumulator has 32."""

_GRADIENT = 1 << 11
"""Integer that stands for :data:`_ROOM` deviations of the derivative by a latent. A few are much
larger than that, and saturate at 16 times as much."""

_STEPS = -14, 14
"""Logarithms of steps, so that the shifts of quantizers are in range."""

_SHIFTS = -7, 20
"""Shifts from accumulator to output: the middle of the codes fits the accumulator, too."""

_NOTHING = 1e-3
"""Deviation of what is hardly ever anything but zero."""


@dataclass(frozen=True, eq=False)
class Transposed:
    """The transposed synthesis.

    Attributes:
        chain: its layers.
        unit: of what comes out: the derivative by each latent, in its units, that a 1 stands for,
            where a 1 in the rows that go in is a derivative of 1 by a sample; float32 ``[96]``.
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
    step = _step(_deviation(weight), _GRADIENT)
    unchanged = Quantize(np.zeros(weight.shape[1], np.int64), SKELETON)
    unit = np.exp2(step - arrays.spread).astype(np.float32)
    return Transposed(BackChain(blocks, unchanged, _up(weight, step)), unit)


def _weight(arrays: NetworkArrays, name: str) -> Reals:
    """Real weights of a layer, output channels first, by the stream as it is."""
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
    stream = np.zeros(channels, np.int64)
    codes = _step(np.full(channels, SCALE))
    hidden = _step(_deviation(project))
    mixed = _deviation(mix_out)
    spread = np.sqrt(np.square(turned).sum((1, 2)) * _OPEN) * mixed
    outer, inner = _step(mixed), _step(spread)
    return BackBlock(
        quantize=Quantize(codes, _SIGNED),
        project=_pointwise(project, codes, hidden, _SIGNED),
        expand=_pointwise(expand, hidden, stream, SKELETON),
        mix_out=_pointwise(mix_out, codes, outer, _AROUND_MIDDLE),
        depthwise=_depthwise(turned, outer, inner),
        mix_in=_pointwise(mix_in[:channels], inner, stream, SKELETON),  # Without a context.
    )


def _deviation(weight: Reals) -> Reals:
    """Deviation of each output of a layer that reads derivatives by the stream, in integers."""
    return np.asarray(SCALE * np.sqrt(np.square(weight).sum(1)))


def _step(deviation: Reals, highest: int = _SIGNED.high) -> Ints:
    """Logarithms of the steps with which integers up to ``highest`` have room."""
    room = _ROOM * np.maximum(deviation, _NOTHING)
    return np.rint(np.log2(room / highest)).astype(np.int64).clip(*_STEPS)


def _pointwise(weight: Reals, source: Ints, target: Ints, grid: Grid) -> Pointwise:
    """A layer that reads signed codes.

    Args:
        weight: real, ``[Cout, Cin]``.
        source, target: logarithms of the steps of its inputs and of its outputs.
        grid: of its outputs.
    """
    largest = _STREAM_WEIGHT if grid == SKELETON else _WEIGHT
    integers, shift = _rounded(np.ldexp(weight, source), target, largest)
    middle = 0 if grid.signed else MIDDLE
    bias = np.rint(np.ldexp(float(middle), shift)).astype(np.int64)
    return Pointwise(integers, bias, shift, _SIGNED, grid)


def _depthwise(weight: Reals, source: Ints, target: Ints) -> Depthwise:
    """The same of a depthwise layer, ``[C, 3, 3]``, whose inputs are around the middle."""
    integers, shift = _rounded(np.ldexp(weight, source[:, None, None]), target, _WEIGHT)
    return Depthwise(integers, -MIDDLE * integers.sum((1, 2)), shift, _AROUND_MIDDLE, _SIGNED)


def _up(weight: Reals, target: Ints) -> Pointwise:
    """The last layer, which reads rows of 16 bits as they are: each output has the largest weights
    that leave room for their sum."""
    sizes = np.abs(weight)
    largest = _WEIGHT_SUM * sizes.max(1) / np.maximum(sizes.sum(1), 1e-9)
    integers, shift = _rounded(weight, target, np.maximum(np.floor(largest), 1))
    return Pointwise(integers, np.zeros(len(integers), np.int64), shift, SKELETON, SKELETON)


def _rounded(weight: Reals, target: Ints, largest: Reals | int) -> tuple[Ints, Ints]:
    """Integers for the weights of each output, and the shifts from what they add up to.

    Args:
        weight: real, output channels first, times the steps of the inputs.
        target: logarithms of the steps of the outputs.
        largest: of the integers; one, or one of each output.
    """
    by_output = -1, *[1] * (weight.ndim - 1)
    size = np.abs(weight).reshape(len(weight), -1).max(1)
    exponent = np.ceil(np.log2(np.maximum(size / largest, 1e-9))).astype(np.int64)
    shift = (target - exponent).clip(*_SHIFTS)
    limit = np.broadcast_to(largest, len(weight)).reshape(by_output)
    exact = np.ldexp(weight, (shift - target).reshape(by_output))
    return np.rint(exact).clip(-limit, limit).astype(np.int64), shift
