"""Rates of the native kernels at every instruction set that this machine has.

    OMP_NUM_THREADS=1 python -m benchmarks.native [--only quantize] [--seconds 0.2]

One line a kernel: CPU time of a call, the minimum of several; the levels take turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from roicodec.kernels import native
from roicodec.kernels.integer import Grid, Quantize
from roicodec.kernels.rows import quantize

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    """A kernel on one input.

    Attributes:
        name: name of the kernel and what distinguishes the input.
        run: function that calls the kernel once.
        work: amount of work of one call in ``unit``.
        unit: unit of work, such as ``samples`` or ``MAC``; rates are 10^9 of them a second.
    """

    name: str
    run: Callable[[], object]
    work: float
    unit: str


def rows_cases() -> Iterator[Case]:
    """Element-wise kernels on 160x90 rows of 128 channels."""
    rng = np.random.default_rng(0)
    rows = rng.integers(-3000, 3000, (90 * 160, 128)).astype(np.int16)
    for bits in (8, 16):
        layer = Quantize(np.full(128, 10 - min(bits, 9)), Grid(bits, signed=True))
        run = partial(quantize, rows, layer)
        yield Case(f"quantize, {bits} bits", run, rows.size, "samples")


CASES: list[Callable[[], Iterator[Case]]] = [rows_cases]
"""Functions that yield cases, one for each module of kernels."""


def least_milliseconds(
    run: Callable[[], object], levels: tuple[str, ...], seconds: float
) -> list[float]:
    """Minimum CPU time of a call at each level in milliseconds; the levels take turns."""
    least = [float("inf")] * len(levels)
    end = time.perf_counter() + seconds * len(levels)
    while time.perf_counter() < end:
        for i, level in enumerate(levels):
            with native.forced(level):
                start = time.process_time()
                run()
                least[i] = min(least[i], 1e3 * (time.process_time() - start))
    return least


def main() -> None:
    """Print the table."""
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
