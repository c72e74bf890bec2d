"""CPU time of a chain of residual blocks under each backend and choice of bit-widths.

    OMP_NUM_THREADS=1 python -m benchmarks.kernels [--height 90] [--width 160] [--share 0.25]

Each block is the codec's: quantize, 1x1, ReLU, depthwise 3x3, ReLU, 1x1, add; quantize, 1x1 to
twice the channels, ReLU, 1x1, add. ROI rows come first in the residual stream, the others after
them, so that only the 8-bit input and output of the depthwise layers are reordered. float32 is the
same chain in torch. Times are CPU time, the minimum of several runs.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from roicodec.kernels.integer import (
    SKELETON,
    Depthwise,
    Grid,
    Ints,
    Pointwise,
    Quantize,
    accumulator_bound,
)
from roicodec.kernels.interface import Backend
from roicodec.kernels.torch_backends import choose_torch_backend

COMMON = Grid(8, signed=False)


class RegionBlock:
    """Prepared layers of a block at one bit-width."""

    def __init__(self, backend: Backend, channels: int, bits: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        signed, unsigned = Grid(bits, signed=True), Grid(bits, signed=False)

        def layer(cin: int, cout: int, source: Grid, target: Grid) -> Pointwise:
            # The widest weights whose accumulators fit int32 with room for the shift.
            top = min((1 << (min(bits, 15) - 1)) - 1, (1 << 30) // (source.magnitude * cin))
            weight = rng.integers(-top - 1, top + 1, (cout, cin))
            bias = np.zeros(cout, np.int64)
            spread = int(accumulator_bound(weight, bias, source).max()).bit_length()
            shift = np.full(cout, max(spread - min(target.bits, 9) - 3, 0))
            return Pointwise(weight, bias, shift, source, target)

        quantize = Quantize(np.full(channels, 16 - bits if bits == 16 else 10 - bits), signed)
        self.first = backend.quantize(quantize)
        self.expand = backend.pointwise(layer(channels, channels, signed, COMMON))
        weight = rng.integers(-127, 128, (channels, 3, 3))
        shift = np.full(channels, 17 - bits)
        self.spatial = backend.depthwise(
            Depthwise(weight, np.zeros(channels, np.int64), shift, COMMON, unsigned)
        )
        self.project = backend.pointwise(layer(channels, channels, unsigned, SKELETON))
        self.second = backend.quantize(quantize)
        self.widen = backend.pointwise(layer(channels, 2 * channels, signed, unsigned))
        self.narrow = backend.pointwise(layer(2 * channels, channels, unsigned, SKELETON))


class Chain:
    """Chain of blocks on a frame with one bit-width a region; 0 skips the region.

    Depthwise layers run on the bounding box of the computed positions; skipped positions and those
    outside are zeros.
    """

    def __init__(
        self, backend: Backend, channels: int, depth: int, mask: Ints, bits: Sequence[int]
    ) -> None:
        order = np.argsort(-mask.ravel(), kind="stable")
        roi = int((mask > 0).sum())
        slices = [slice(0, roi), slice(roi, mask.size)]
        active = [(s, b) for s, b in zip(slices, bits, strict=True) if b and s.start < s.stop]
        positions = np.stack(np.unravel_index(order, mask.shape))
        chosen = np.concatenate([positions[:, s] for s, _ in active], 1)
        low, high = chosen.min(1), chosen.max(1) + 1
        self.height, self.width = (int(n) for n in high - low)
        y, x = positions - low[:, None]
        place = y * self.width + x
        # Where each position of the box is among the active rows; the last row is zeros.
        inverse = np.full(self.height * self.width, chosen.shape[1])
        self.regions = []
        start = 0
        for rows, b in active:
            index = place[rows]
            inverse[index] = np.arange(start, start + len(index))
            start += len(index)
            blocks = [RegionBlock(backend, channels, b, seed) for seed in range(depth)]
            self.regions.append((rows, torch.tensor(index), b, blocks))
        self.inverse = torch.tensor(inverse)
        self.zero = backend.codes(torch.zeros((1, channels), dtype=torch.int32), COMMON)
        self.depth = depth

    def __call__(self, stream: Tensor) -> Tensor:
        """One pass over skeleton rows ``[H*W, C]`` in region order, in place."""
        for i in range(self.depth):
            codes = [b[i].expand(b[i].first(stream[rows])) for rows, _, _, b in self.regions]
            box = torch.cat([*codes, self.zero]).index_select(0, self.inverse)
            box = box.view(self.height, self.width, -1)
            spatial: dict[int, Tensor] = {}
            for rows, index, bits, blocks in self.regions:
                block, part = blocks[i], stream[rows]
                if bits not in spatial:
                    spatial[bits] = block.spatial(box).view(len(self.inverse), -1)
                block.project.accumulate(part, spatial[bits].index_select(0, index))
                block.narrow.accumulate(part, block.widen(block.second(part)))
        return stream


class FloatChain:
    """The same chain of blocks in float32, rows ``[H, W, C]``."""

    def __init__(self, channels: int, depth: int) -> None:
        rng = torch.Generator().manual_seed(0)

        def weight(*shape: int) -> Tensor:
            return torch.randn(shape, generator=rng) * 0.05

        c = channels
        self.blocks = [
            (
                weight(c, c),
                weight(c),
                weight(c, 1, 3, 3),
                weight(c, c),
                weight(2 * c, c),
                weight(2 * c),
                weight(c, 2 * c),
                weight(c),
            )
            for _ in range(depth)
        ]

    def __call__(self, stream: Tensor) -> Tensor:
        """One pass over ``[H, W, C]``."""
        for w1, b1, spatial, w2, w3, b3, w4, b in self.blocks:
            x = functional.linear(stream, w1, b1).relu_()
            x = functional.conv2d(x.permute(2, 0, 1)[None], spatial, b, padding=1, groups=len(w1))
            stream = stream + functional.linear(x[0].permute(1, 2, 0).relu_(), w2, b)
            x = functional.linear(stream, w3, b3).relu_()
            stream = stream + functional.linear(x, w4, b)
        return stream


def least(run: Callable[[], object], repeats: int) -> float:
    """Minimum CPU time of ``repeats`` runs in milliseconds, after one that is not timed."""
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def main() -> None:
    """Table of the measurements, printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=90)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--backend", default="auto", choices=("auto", "onednn", "reference"))
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    backend = choose_torch_backend(args.backend)
    print(f"{backend.name} ({backend.reason}), {torch.get_num_threads()} thread(s)")
    rng = np.random.default_rng(1)
    values = torch.tensor(rng.integers(-2000, 2000, (args.height * args.width, args.channels)))
    half = (np.arange(args.width) < args.share * args.width).astype(np.int64)
    mask = np.tile(half, (args.height, 1))
    with torch.inference_mode():
        float_chain = FloatChain(args.channels, args.depth)
        frame = values.float().view(args.height, args.width, -1)
        base = least(lambda: float_chain(frame), args.repeats)
        print(f"{'float32':>24} {base:8.1f} ms")
        pairs = [(8, 8), (16, 16), (16, 8), (16, 0), (8, 0), (4, 4), (2, 2), (8, 4)]
        for pair in pairs:
            chain = Chain(backend, args.channels, args.depth, mask, pair)
            stream = backend.skeleton(values)
            took = least(partial(chain, stream), args.repeats)
            print(
                f"{f'ROI {pair[0]}, non-ROI {pair[1]}':>24} {took:8.1f} ms, "
                f"{base / took:5.2f} times as fast as float32"
            )


if __name__ == "__main__":
    main()
