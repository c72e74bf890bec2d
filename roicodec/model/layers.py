"""The integer layers of a network, built from its stored arrays for the bit-widths in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from roicodec.model.schema import BIAS_EXPONENT, STREAM_EXPONENT
from roicodec.quant.export import integer_layer
from roicodec.quant.integer import (
    CANDIDATE_BITS,
    SKELETON,
    Depthwise,
    Grid,
    Pointwise,
    Quantize,
    round_shift,
)

__all__ = ["BlockLayers", "NetworkArrays"]

Arrays = Mapping[str, NDArray[np.generic]]

_UNSIGNED_8 = Grid(8, signed=False)
_NARROW = tuple(b for b in CANDIDATE_BITS if b < 16)


class BlockLayers:
    """The layers of one block at one bit-width.

    Args:
        arrays: of the network.
        name: of the block.
        bits: bit-width of the branches.
        exponents: of the skeleton channels that the first branch reads, int ``[Cin]``; the stream
            that both branches add to comes first and has one exponent.
    """

    def __init__(
        self, arrays: NetworkArrays, name: str, bits: int, exponents: NDArray[np.int64]
    ) -> None:
        signed, unsigned = Grid(bits, signed=True), Grid(bits, signed=False)
        k = CANDIDATE_BITS.index(bits)
        part = {p: f"{name}.{p}" for p in ("mix_in", "mix_out", "expand", "project")}
        step = {p: int(arrays.ints(f"{n}.input")[k]) for p, n in part.items()}
        stream = int(exponents[0])
        width = len(arrays.ints(f"{name}.depthwise.bias"))
        across = int(arrays.ints(f"{name}.depthwise.input")[0])

        first = arrays.ints(f"{part['mix_in']}.equalize") + step["mix_in"] - exponents
        second = arrays.ints(f"{part['expand']}.equalize") + step["expand"] - stream
        self.quantize_first = Quantize(first, signed)
        self.quantize_second = Quantize(second, signed)
        source = {p: (signed if p in ("mix_in", "expand") else unsigned, step[p]) for p in part}
        target = {
            "mix_in": (_UNSIGNED_8, across),
            "mix_out": (SKELETON, stream),
            "expand": (unsigned, step["project"]),
            "project": (SKELETON, stream),
        }
        layer = {p: arrays.branch(n, bits, source[p], target[p]) for p, n in part.items()}
        self.mix_in, self.mix_out = layer["mix_in"], layer["mix_out"]
        self.expand, self.project = layer["expand"], layer["project"]
        name = f"{name}.depthwise"
        exponent = arrays.ints(f"{name}.exponent")
        weight, exponent = _within_reach(
            arrays.ints(f"{name}.weight"), exponent, across, step["mix_out"]
        )
        self.depthwise = integer_layer(
            *(Depthwise, weight, exponent, np.ldexp(arrays.ints(f"{name}.bias"), BIAS_EXPONENT)),
            source=(_UNSIGNED_8, across),
            target=(unsigned, np.full(width, step["mix_out"])),
            name=name,
        )

    def __iter__(self) -> Iterator[Quantize | Pointwise | Depthwise]:
        yield from (self.quantize_first, self.mix_in, self.depthwise, self.mix_out)
        yield from (self.quantize_second, self.expand, self.project)


class NetworkArrays:
    """The arrays of one network, and the layers that they make."""

    def __init__(self, arrays: Arrays) -> None:
        self.raw = arrays
        self.inter = "context_out.weight" in arrays
        self.spread = self.ints("spread")
        self.block = cache(self._block)

    def ints(self, name: str) -> NDArray[np.int64]:
        """An array as int64."""
        return np.asarray(self.raw[name]).astype(np.int64)

    def exponent(self, name: str) -> int:
        """The exponent of a skeleton tensor that was measured."""
        return int(self.ints(f"exponent.{name}")[0])

    def check(self) -> None:
        """Make every block at every bit-width once.

        Raises:
            ModelError: naming a layer whose accumulators could overflow.
        """
        for name in self.blocks():
            for bits in CANDIDATE_BITS:
                self._block(name, bits)

    def blocks(self) -> list[str]:
        """Names of all blocks."""
        end = ".mix_in.weight"
        return sorted(n[: -len(end)] for n in self.raw if n.endswith(end))

    def stream_exponents(self, name: str) -> NDArray[np.int64]:
        """Exponents of the skeleton channels that a block reads."""
        width = len(self.ints(f"{name}.depthwise.bias"))
        extra = len(self.ints(f"{name}.mix_in.equalize")) - width
        own = self.exponent("entropy") if name.startswith("entropy") else STREAM_EXPONENT
        exponents = np.full(width, own)
        if extra:
            exponents = np.concatenate((exponents, np.full(extra, self.exponent("context_out"))))
        return exponents

    def _block(self, name: str, bits: int) -> BlockLayers:
        return BlockLayers(self, name, bits, self.stream_exponents(name))

    def branch(
        self, name: str, bits: int, source: tuple[Grid, int], target: tuple[Grid, int]
    ) -> Pointwise:
        """A pointwise layer of a block at a bit-width, its weights rounded from the master's."""
        weight, exponent = self.ints(f"{name}.weight"), self.ints(f"{name}.exponent")
        if bits < 16:
            steps = self.ints(f"{name}.steps")[_NARROW.index(bits)]
            grid = Grid(bits, signed=True)
            weight = round_shift(weight, (steps - exponent)[:, None])
            weight, exponent = np.clip(weight, max(grid.low, -127), grid.high), steps
        bias = np.ldexp(self.ints(f"{name}.bias")[CANDIDATE_BITS.index(bits)], BIAS_EXPONENT)
        weight, exponent = _within_reach(weight, exponent, source[1], target[1])
        return integer_layer(
            Pointwise, weight, exponent, bias, source=source, target=target, name=name
        )

    def skeleton_layer(
        self,
        name: str,
        source: Grid,
        source_exponent: int,
        target: tuple[Grid, NDArray[np.int64] | int],
    ) -> Pointwise:
        """A pointwise layer between 16-bit tensors."""
        weight, exponent = self.ints(f"{name}.weight"), self.ints(f"{name}.exponent")
        bias = np.ldexp(self.ints(f"{name}.bias"), source_exponent + exponent)
        where = np.broadcast_to(target[1], exponent.shape)
        return integer_layer(
            *(Pointwise, weight, exponent, bias),
            source=(source, source_exponent),
            target=(target[0], where),
            name=name,
        )


def _within_reach(
    weight: NDArray[np.int64], exponent: NDArray[np.int64], source: int, target: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Round away weights so small that their accumulators are finer than 2**-24 targets."""
    right = np.maximum(target - source - exponent - 24, 0)
    if not right.any():
        return weight, exponent
    shape = (-1, *[1] * (weight.ndim - 1))
    return round_shift(weight, right.reshape(shape)), exponent + right
