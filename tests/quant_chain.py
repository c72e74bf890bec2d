"""A chain of random blocks on two regions, and its digest under a backend.

Run as a script it prints one line per backend and thread count: ``name threads digest``.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from roicodec.kernels import integer
from roicodec.kernels.integer import (
    SKELETON,
    Depthwise,
    Grid,
    Layer,
    Pointwise,
    Quantize,
    accumulator_bound,
)
from roicodec.kernels.interface import Backend, PointwiseOp, TensorOp
from roicodec.kernels.torch_backends import choose_torch_backend

HEIGHT, WIDTH, CHANNELS, DEPTH = 14, 21, 32, 2
PAIRS = ((16, 8), (4, 2), (7, 0))
COMMON = Grid(8, signed=False)


class _DefinitionPointwise:
    def __init__(self, layer: Pointwise) -> None:
        self.layer = layer

    def __call__(self, codes: Tensor) -> Tensor:
        return torch.tensor(integer.pointwise(codes.numpy(), self.layer))

    def accumulate(self, skeleton: Tensor, codes: Tensor) -> Tensor:
        total = integer.accumulate(skeleton.numpy(), codes.numpy(), self.layer)
        return skeleton.copy_(torch.tensor(total))


class DefinitionBackend(Backend):
    """The definition itself, on int64 tensors."""

    name = "definition"
    device = torch.device("cpu")

    def skeleton(self, values: Tensor) -> Tensor:
        return values.to(torch.int64, copy=True)

    def values(self, skeleton: Tensor) -> Tensor:
        return skeleton.to(torch.int16)

    def codes(self, values: Tensor, grid: Grid) -> Tensor:
        return values.long()

    def integers(self, codes: Tensor, grid: Grid) -> Tensor:
        return codes.int()

    def quantize(self, layer: Quantize) -> TensorOp:
        return lambda skeleton: torch.tensor(integer.quantize(skeleton.numpy(), layer))

    def pointwise(self, layer: Pointwise) -> PointwiseOp:
        return _DefinitionPointwise(layer)

    def depthwise(self, layer: Depthwise) -> TensorOp:
        return lambda codes: torch.tensor(integer.depthwise(codes.numpy(), layer))


def random_pointwise(
    rng: np.random.Generator, cin: int, cout: int, source: Grid, target: Grid, bits: int
) -> Pointwise:
    """Weights of ``bits`` bits, as large as int32 accumulators and three bits of bias allow."""
    top = min((1 << (bits - 1)) - 1, integer.MAX_WEIGHT - 1, (1 << 30) // (source.magnitude * cin))
    weight = rng.integers(-top - 1, top + 1, (cout, cin))
    bias = rng.integers(-9, 10, cout)
    spread = int(accumulator_bound(weight, bias, source).max()).bit_length()
    shift = spread - min(target.bits, 11) - rng.integers(1, 4, cout)
    return Pointwise(weight, bias, shift, source, target)


@dataclass(frozen=True)
class Block:
    """The layers of a block at one bit-width, in the order in which they run."""

    quantize: Quantize
    expand: Pointwise
    spatial: Depthwise
    project: Pointwise
    widen: Pointwise
    narrow: Pointwise

    @property
    def layers(self) -> tuple[Layer, ...]:
        return (
            self.quantize,
            self.expand,
            self.spatial,
            self.project,
            self.quantize,
            self.widen,
            self.narrow,
        )


def random_block(rng: np.random.Generator, bits: int) -> Block:
    """A block at a bit-width."""
    signed, unsigned = Grid(bits, signed=True), Grid(bits, signed=False)
    c = CHANNELS
    quantize = Quantize(12 - min(bits, 12) + rng.integers(-1, 2, c), signed)
    spatial = Depthwise(
        rng.integers(-128, 128, (c, 3, 3)),
        rng.integers(-99, 99, c),
        17 - bits + rng.integers(-1, 1, c),
        COMMON,
        unsigned,
    )
    return Block(
        quantize,
        random_pointwise(rng, c, c, signed, COMMON, bits),
        spatial,
        random_pointwise(rng, c, c, unsigned, SKELETON, bits),
        random_pointwise(rng, c, 2 * c, signed, unsigned, bits),
        random_pointwise(rng, 2 * c, c, unsigned, SKELETON, bits),
    )


def all_layers() -> list[Layer]:
    """Every layer that :func:`digest` runs."""
    widths = sorted({bits for pair in PAIRS for bits in pair if bits})
    blocks = [random_block(np.random.default_rng(bits), bits) for bits in widths]
    return [layer for block in blocks for layer in block.layers]


def digest(backend: Backend) -> str:
    """SHA-256 of the streams after the chain, for every pair of bit-widths."""
    rng = np.random.default_rng(3)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[4:11, 6:15] = True
    mask[0, 0] = mask[-1, -1] = True
    regions = [torch.tensor(np.flatnonzero(mask == inside)) for inside in (True, False)]
    start = torch.tensor(rng.integers(-9000, 9000, (HEIGHT * WIDTH, CHANNELS)))
    sha = hashlib.sha256()
    for pair in PAIRS:
        stream = backend.skeleton(start)
        for _ in range(DEPTH):
            frame = backend.codes(torch.zeros(stream.shape, dtype=torch.int32), COMMON)
            active = [(rows, bits) for rows, bits in zip(regions, pair, strict=True) if bits]
            for rows, bits in active:
                block = random_block(np.random.default_rng(bits), bits)
                codes = backend.quantize(block.quantize)(stream[rows])
                frame[rows] = backend.pointwise(block.expand)(codes)
            for rows, bits in active:
                block = random_block(np.random.default_rng(bits), bits)
                mixed = backend.depthwise(block.spatial)(frame.view(HEIGHT, WIDTH, -1))
                part = stream[rows]
                codes = mixed.reshape(frame.shape)[rows]
                backend.pointwise(block.project).accumulate(part, codes)
                codes = backend.pointwise(block.widen)(backend.quantize(block.quantize)(part))
                backend.pointwise(block.narrow).accumulate(part, codes)
                stream[rows] = part
        values = backend.values(stream).numpy()
        assert len(np.unique(values)) > 1000, "the chain must not saturate"
        sha.update(values.tobytes())
    return sha.hexdigest()


if __name__ == "__main__":
    if len(sys.argv) > 1 and torch.backends.cpu.get_cpu_capability() != sys.argv[1]:
        sys.exit(f"runs with {torch.backends.cpu.get_cpu_capability()}, not {sys.argv[1]}")
    with torch.inference_mode():
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for name in ("reference", "auto"):
                chosen = choose_torch_backend(name, all_layers())
                print(chosen.name, threads, digest(chosen))
