"""Rates of the native kernels at every instruction set that this machine has.

    OMP_NUM_THREADS=1 python -m benchmarks.native [--only block] [--seconds 0.2]

A line a kernel: processor time of one call, the least of several, the levels taking turns. A case
is a function that prepares inputs and returns what to run, with how much work that is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.case import Case
from benchmarks.native_operations import OPERATION_CASES
from roicodec.kernels import native
from roicodec.kernels.integer import (
    SKELETON,
    Depthwise,
    Grid,
    Pointwise,
    Quantize,
    accumulator_bound,
)
from roicodec.kernels.matrix import (
    Field,
    PackedBlock,
    PackedDepthwise,
    PackedPointwise,
    run_block,
)

__all__ = ["CASES", "Case"]

Rows = NDArray[np.int16]
Ints = NDArray[np.int64]
Shape = tuple[int, int]
T = TypeVar("T")


def _pointwise(
    rng: np.random.Generator, cin: int, cout: int, source: Grid, target: Grid
) -> Pointwise:
    """A layer with the widest weights whose accumulators fit."""
    top = min((1 << (min(source.bits, 15) - 1)) - 1, (1 << 30) // (source.magnitude * cin))
    weight = rng.integers(-top, top + 1, (cout, cin))
    bias = np.zeros(cout, np.int64)
    spread = int(accumulator_bound(weight, bias, source).max()).bit_length()
    shift = np.full(cout, max(spread - min(target.bits, 9) - 3, 0))
    return Pointwise(weight, bias, shift, source, target)


def _block(rng: np.random.Generator, bits: int, c: int) -> list[Any]:
    """The layers of a block, in the order of :meth:`PackedBlock.of`."""
    signed, unsigned, meet = (
        Grid(bits, signed=True),
        Grid(bits, signed=False),
        Grid(8, signed=False),
    )
    quantize = Quantize(np.full(c, 4 if bits == 8 else -3), signed)
    weight, shift = rng.integers(-128, 128, (c, 3, 3)), np.full(c, 18 - min(bits, 15))
    return [
        quantize,
        _pointwise(rng, c, c, signed, meet),
        Depthwise(weight, np.zeros(c, np.int64), shift, meet, unsigned),
        _pointwise(rng, c, c, unsigned, SKELETON),
        quantize,
        _pointwise(rng, c, 2 * c, signed, unsigned),
        _pointwise(rng, 2 * c, c, unsigned, SKELETON),
    ]


def _for_level(make: Callable[[], T]) -> Callable[[], T]:
    """Value made once for each instruction set, when that is first in use."""
    made: dict[str, T] = {}

    def get() -> T:
        level = native.level()
        if level not in made:
            made[level] = make()
        return made[level]

    return get


def _block_case(layers: list[Any], name: str, rows: Rows, positions: Ints, shape: Shape) -> Case:
    block = _for_level(lambda: PackedBlock.of(layers))
    channels = rows.shape[1]
    places, own = Field.places(positions, shape[1]), rows[: len(positions)].copy()
    field, part = Field(*shape, channels), slice(0, len(positions))
    work = (6 * channels + 9) * channels * len(positions)
    return Case(name, lambda: run_block([(block(), part)], own, places, field), work, "MAC")


def _layer_case(layer: Pointwise, name: str, rows: Rows, quantize: Quantize | None) -> Case:
    packed = _for_level(lambda: PackedPointwise(layer, quantize))
    return Case(name, lambda: packed()(rows), len(rows) * layer.weight.size, "MAC")


def _depthwise_case(layer: Depthwise, name: str, shape: Shape) -> Case:
    packed = _for_level(lambda: PackedDepthwise(layer, to_bytes=layer.target.bits <= 8))
    positions = np.arange(shape[0] * shape[1])
    places, field = Field.places(positions, shape[1]), Field(*shape, len(layer.weight))
    return Case(name, lambda: packed()(field, places), len(places) * layer.weight.size, "MAC")


def matrix_cases() -> Iterator[Case]:
    """Layers and blocks of 128 channels on 160x90 positions, and a block on a fifth of them."""
    rng = np.random.default_rng(0)
    shape, c = (90, 160), 128
    rows = rng.integers(-3000, 3000, (shape[0] * shape[1], c)).astype(np.int16)
    for bits in (8, 16):
        quantize, mix_in, depthwise, mix_out, _, expand, _ = layers = _block(rng, bits, c)
        for share in (1.0, 0.2):
            positions = np.flatnonzero(rng.random(len(rows)) < share)
            name = f"block, {bits} bits, {share:.0%} of positions"
            yield _block_case(layers, name, rows, positions, shape)
        yield _layer_case(mix_in, f"pointwise to 8 bits, {bits} bits", rows, quantize)
        yield _layer_case(expand, f"pointwise, {bits} bits", rows, quantize)
        codes = abs(rows) & mix_out.source.high
        yield _layer_case(mix_out, f"pointwise to skeleton, {bits} bits", codes, None)
        yield _depthwise_case(depthwise, f"depthwise, {bits} bits", shape)


CASES: list[Callable[[], Iterator[Case]]] = [matrix_cases, *OPERATION_CASES]
"""Functions that yield cases, one for each module of kernels."""


def least_milliseconds(
    run: Callable[[], object], levels: tuple[str, ...], seconds: float
) -> list[float]:
    """Least processor time of a call at each level, the levels taking turns."""
    least = [float("inf")] * len(levels)
    end = time.perf_counter() + seconds * len(levels)
    while True:
        for i, level in enumerate(levels):
            with native.forced(level):
                start = time.process_time()
                run()
                least[i] = min(least[i], 1e3 * (time.process_time() - start))
        if time.perf_counter() > end:
            return least


def main() -> None:
    """Table of the measurements, printed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--seconds", type=float, default=0.2, help="for each case and level")
    asked = parser.parse_args()
    levels = native.levels()
    if not levels:
        parser.exit(1, f"no native kernels: {native.reason()}\n")
    print(f"{'ms of one call':<44}" + "".join(f"{level:>10}" for level in levels) + "   best rate")
    for make in CASES:
        for case in make():
            if asked.only not in case.name:
                continue
            times = least_milliseconds(case.run, levels, asked.seconds)
            rate = case.work / min(times) / 1e6
            numbers = "".join(f"{t:10.3f}" for t in times)
            print(f"{case.name:<44}{numbers}   {rate:.2f} G {case.unit}/s", flush=True)


if __name__ == "__main__":
    main()
