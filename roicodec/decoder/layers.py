"""The integer layers of a network, built from its stored arrays for the bit-widths in use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import BIAS_EXPONENT
from roicodec.decoder.architecture import (
    BLOCK_PROJECTIONS,
    FeatureMap,
    Projection,
    ResidualBlock,
    architecture_of,
)
from roicodec.decoder.weights import Arrays
from roicodec.errors import ModelError
from roicodec.kernels.integer import (
    CANDIDATE_BITS,
    SKELETON,
    Depthwise,
    Grid,
    Layer,
    Pointwise,
    Quantize,
    round_shift,
)
from roicodec.kernels.prepare import integer_layer

__all__ = ["BlockLayers", "NetworkArrays"]

_UNSIGNED_8 = Grid(8, signed=False)
_NARROW = tuple(b for b in CANDIDATE_BITS if b < 16)
_FINEST = 24
"""Accumulators count in no less than 2**-24 of the target's unit."""


class BlockLayers:
    """The layers of one block at one bit-width.

    Args:
        arrays: arrays of the network.
        block: its place in the table.
        bits: bit-width of the branches, 2..8 or 16.
    """

    def __init__(self, arrays: NetworkArrays, block: ResidualBlock, bits: int) -> None:
        signed, unsigned = Grid(bits, signed=True), Grid(bits, signed=False)
        k = CANDIDATE_BITS.index(bits)
        name = dict(zip(BLOCK_PROJECTIONS, block.projections, strict=True))
        step = {part: int(arrays.ints(f"{n}.input")[k]) for part, n in name.items()}
        exponents = arrays.exponents(block.stream)
        stream = int(exponents[0])
        if block.context:
            exponents = np.concatenate((exponents, arrays.exponents(block.context)))
        hidden = int(arrays.ints(f"{block.depthwise}.input")[0])

        first = arrays.ints(f"{name['mix_in']}.equalize") + step["mix_in"] - exponents
        second = arrays.ints(f"{name['expand']}.equalize") + step["expand"] - stream
        self.quantize_first = Quantize(first, signed)
        self.quantize_second = Quantize(second, signed)
        source = {p: (signed if p in ("mix_in", "expand") else unsigned, step[p]) for p in name}
        target = {
            "mix_in": (_UNSIGNED_8, hidden),
            "mix_out": (SKELETON, stream),
            "expand": (unsigned, step["project"]),
            "project": (SKELETON, stream),
        }
        layer = {p: arrays.branch(n, bits, source[p], target[p]) for p, n in name.items()}
        self.mix_in, self.mix_out = layer["mix_in"], layer["mix_out"]
        self.expand, self.project = layer["expand"], layer["project"]
        weight, exponent = _coarsened(
            arrays.ints(f"{block.depthwise}.weight"),
            arrays.ints(f"{block.depthwise}.exponent"),
            hidden,
            step["mix_out"],
        )
        bias = np.ldexp(arrays.ints(f"{block.depthwise}.bias"), BIAS_EXPONENT)
        self.depthwise = integer_layer(
            *(Depthwise, weight, exponent, bias),
            source=(_UNSIGNED_8, hidden),
            target=(unsigned, np.full(len(bias), step["mix_out"])),
            name=block.depthwise,
        )

    def __iter__(self) -> Iterator[Quantize | Pointwise | Depthwise]:
        yield from (self.quantize_first, self.mix_in, self.depthwise, self.mix_out)
        yield from (self.quantize_second, self.expand, self.project)


class NetworkArrays:
    """The arrays of one network, and the integer layers built from them.

    Attributes:
        raw: arrays by name, as stored.
        architecture: table of the network's layers.
        spread: log2 of the range of each latent, int64 ``[96]``.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.raw = arrays
        self.architecture = architecture_of(arrays)
        self.spread = self.ints("spread")
        self.block = cache(self._block)

    def ints(self, name: str) -> NDArray[np.int64]:
        """An array as int64."""
        return np.asarray(self.raw[name]).astype(np.int64)

    def exponents(self, tensor: FeatureMap) -> NDArray[np.int64]:
        """Exponent of each channel of a feature map, int64 ``[C]``."""
        fixed = tensor.exponent
        one = int(self.ints(tensor.array)[0]) if fixed is None else fixed
        whole = np.full(tensor.channels, one)
        return whole - self.spread if tensor.by_spread else whole

    def layers(self) -> Iterator[Layer]:
        """All layers at every bit-width, built again, which checks their bounds.

        Raises:
            ModelError: naming a layer whose accumulators could overflow.
        """
        for block in self.architecture.blocks:
            for bits in CANDIDATE_BITS:
                yield from self._block(block, bits)
        for projection in self.architecture.projections:
            yield self.projection(projection)

    def quantizer(self, layer: Projection) -> Quantize:
        """The quantizer in front of a projection from a signed feature map."""
        shift = self.spread if layer.normalized else np.zeros(layer.inputs, np.int64)
        return Quantize(shift, layer.source.grid)

    def projection(self, layer: Projection) -> Pointwise:
        """The integer layer of a projection.

        Raises:
            ModelError: if its arrays are not of the architecture's shape, or its accumulators
                could overflow.
        """
        name = layer.name
        weight, exponent = self.ints(f"{name}.weight"), self.ints(f"{name}.exponent")
        if weight.shape != (layer.outputs, layer.inputs):
            raise ModelError(
                f"{name}: weights of shape {weight.shape}, this version has"
                f" {layer.outputs} outputs of {layer.inputs} inputs"
            )
        source = int(self.exponents(layer.source)[0])
        bias = np.ldexp(self.ints(f"{name}.bias"), source + exponent)
        target = np.concatenate([self.exponents(target) for target in layer.targets])
        return integer_layer(
            *(Pointwise, weight, exponent, bias),
            source=(layer.source.grid, source),
            target=(layer.target.grid, target),
            name=name,
        )

    def _block(self, block: ResidualBlock, bits: int) -> BlockLayers:
        return BlockLayers(self, block, bits)

    def branch(
        self, name: str, bits: int, source: tuple[Grid, int], target: tuple[Grid, int]
    ) -> Pointwise:
        """A pointwise layer of a block at a bit-width, its weights rounded from the master's.

        Args:
            name: prefix of its arrays.
            bits: bit-width of the weights.
            source, target: grid and exponent of input and output.
        """
        weight, exponent = self.ints(f"{name}.weight"), self.ints(f"{name}.exponent")
        if bits < 16:
            steps = self.ints(f"{name}.steps")[_NARROW.index(bits)]
            grid = Grid(bits, signed=True)
            weight = round_shift(weight, (steps - exponent)[:, None])
            weight, exponent = np.clip(weight, max(grid.low, -127), grid.high), steps
        bias = np.ldexp(self.ints(f"{name}.bias")[CANDIDATE_BITS.index(bits)], BIAS_EXPONENT)
        weight, exponent = _coarsened(weight, exponent, source[1], target[1])
        return integer_layer(
            Pointwise, weight, exponent, bias, source=source, target=target, name=name
        )


def _coarsened(
    weight: NDArray[np.int64], exponent: NDArray[np.int64], source: int, target: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Weights and exponents of a layer whose accumulators would count too finely.

    Args:
        weight: integers, output channels first.
        exponent: log2 of their units, ``[Cout]``.
        source, target: exponents of the input and of the output.
    """
    right = np.maximum(target - source - exponent - _FINEST, 0)
    if not right.any():
        return weight, exponent
    shape = (-1, *[1] * (weight.ndim - 1))
    return round_shift(weight, right.reshape(shape)), exponent + right
