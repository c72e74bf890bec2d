"""The integer layers of a network, built from its stored arrays for the bit-widths in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import (
    BIAS_EXPONENT,
    INDEX_EXPONENT,
    LATENT_EXPONENT,
    STREAM_EXPONENT,
)
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

Arrays = Mapping[str, NDArray[np.generic]]

_UNSIGNED_8 = Grid(8, signed=False)
_WIDE = Grid(16, signed=False)
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

    def blocks(self) -> list[str]:
        """Names of all blocks."""
        end = ".mix_in.weight"
        return sorted(n[: -len(end)] for n in self.raw if n.endswith(end))

    def layers(self) -> Iterator[Layer]:
        """All layers at every bit-width, each made anew; making them checks their bounds.

        Raises:
            ModelError: naming a layer whose accumulators could overflow.
        """
        for name in self.blocks():
            for bits in CANDIDATE_BITS:
                yield from self._block(name, bits)
        for name in self._skeleton_names:
            yield self.skeleton_layer(name)

    @property
    def entropy_steps(self) -> int:
        """How many steps the latents are coded in."""
        return sum(n.startswith("entropy.") for n in self.blocks())

    @property
    def _skeleton_names(self) -> list[str]:
        numbers = range(self.entropy_steps)
        names = ["down", "up", *(f"heads.{k}" for k in numbers)]
        names += [f"inject.{k}" for k in numbers[:-1]]
        names += [f"hyper_{half}.{k}" for half in ("analysis", "synthesis") for k in range(3)]
        return names + ["context_out", "context_in"] * self.inter

    def skeleton_layer(self, name: str) -> Pointwise:
        """A layer of the 16-bit skeleton."""
        entropy = self.exponent("entropy")
        indices = np.full(len(self.spread), INDEX_EXPONENT)
        heads = np.concatenate((LATENT_EXPONENT - self.spread, indices))
        # The index half of a head was stored with its gain in the exponent.
        heads[len(self.spread) :] -= 2
        ha0, ha1 = self.exponent("hyper_analysis.0"), self.exponent("hyper_analysis.1")
        hs0, hs1 = self.exponent("hyper_synthesis.0"), self.exponent("hyper_synthesis.1")
        context = self.exponent("context_out") if self.inter else 0
        plan: dict[str, tuple[Grid, int, Grid, NDArray[np.int64] | int]] = {
            "down": (SKELETON, STREAM_EXPONENT, SKELETON, LATENT_EXPONENT),
            "up": (SKELETON, LATENT_EXPONENT, SKELETON, STREAM_EXPONENT),
            "inject": (SKELETON, LATENT_EXPONENT, SKELETON, entropy),
            "heads": (SKELETON, entropy, SKELETON, heads),
            "hyper_analysis.0": (SKELETON, LATENT_EXPONENT, _WIDE, ha0),
            "hyper_analysis.1": (_WIDE, ha0, _WIDE, ha1),
            "hyper_analysis.2": (_WIDE, ha1, SKELETON, LATENT_EXPONENT),
            "hyper_synthesis.0": (SKELETON, LATENT_EXPONENT, _WIDE, hs0),
            "hyper_synthesis.1": (_WIDE, hs0, _WIDE, hs1),
            "hyper_synthesis.2": (_WIDE, hs1, SKELETON, entropy),
            "context_out": (SKELETON, STREAM_EXPONENT, SKELETON, context),
            "context_in": (SKELETON, context, SKELETON, entropy),
        }
        source, source_exponent, target, exponent = plan.get(name) or plan[name.split(".")[0]]
        return self._between(name, source, source_exponent, (target, exponent))

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

    def _between(
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
