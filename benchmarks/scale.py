"""Time of each step of an encode in segments, and what more workers gain.

``python -m benchmarks.scale CLIP [--frames N] [--pairs N] [--effort E] [--roi SPEC]`` encodes with
one process and with two, in turns, one thread each, and prints seconds per megapixel of reading,
planning and encoding, seconds that a worker takes to start, the share of the join, the gain of the
second process, and whether the bytes are the same. The load of the machine is printed with it: a
gain means something on idle cores only.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

from roicodec.encoder.options import EncoderOptions
from roicodec.factory import NetworkFactory
from roicodec.segments.executors import LocalExecutor
from roicodec.segments.parallel import encode_in_parallel
from roicodec.segments.planner import planned
from roicodec.segments.sequential import Encoded
from roicodec.segments.store import temporary_store
from roicodec.segments.work import Work
from roicodec.transcode import Listener

__all__ = ["encoded", "seconds_of"]


def seconds_of(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of this process's cores, that a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


class _First(Listener):
    """Moment of the first picture."""

    def __init__(self) -> None:
        self.first: float | None = None

    def frame(self, done: int) -> None:
        if done and self.first is None:
            self.first = time.perf_counter()


def encoded(work: Work, jobs: int) -> tuple[bytes, Encoded, float, float, float]:
    """Stream of a work, filled in, by some processes.

    Returns:
        its bytes, the result, seconds by the clock, seconds of the workers' cores, and seconds
        until the first picture was encoded.
    """
    out, heard, begun = io.BytesIO(), _First(), time.perf_counter()
    with work.open() as reader, temporary_store() as store:
        start = partial(LocalExecutor, work, NetworkFactory(), jobs=jobs, threads=1)
        done, cpu = encode_in_parallel(work, reader, out, start, store, heard)
    first = (heard.first or begun) - begun
    return out.getvalue(), done, time.perf_counter() - begun, cpu, first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--roi", default="none")
    chosen = parser.parse_args()
    options = EncoderOptions(effort=chosen.effort)
    reading = {"frames": slice(0, chosen.frames), "threads": 1}
    work = Work(chosen.clip, reading, options, chosen.roi)
    with work.open() as reader:
        work = work.filled(reader)
        size = reader.info.width * reader.info.height
        _, read = seconds_of(lambda: [None for _ in reader])
    _, plan = seconds_of(lambda: planned(work, work.rules()))
    gains = []
    for _ in range(chosen.pairs):
        one, done, wall_one, cpu_one, first = encoded(work, 1)
        two, both, wall_two, cpu_two, _ = encoded(work, 2)
        gains.append(wall_one / wall_two)
        pixels = done.frames * size / 1e6
        print(
            f"load {os.getloadavg()[0]:.1f}; one process {wall_one:.1f} s, two {wall_two:.1f} s:"
            f" {gains[-1]:.2f} times; CPU {cpu_one:.1f} and {cpu_two:.1f} s;"
            f" bytes {'same' if one == two else 'DIFFERENT'};"
            f" join {100 * both.join_seconds / wall_two:.2f} %",
            flush=True,
        )
    print(
        f"{done.frames} frames of {size} pixels, {len(one)} bytes; seconds of a core per megapixel:"
        f" reading {read / pixels:.4f}, planning {(plan - read) / pixels:.4f},"
        f" encoding {cpu_one / pixels:.3f}; first picture after {first:.1f} s;"
        f" gain {statistics.median(gains):.2f}"
    )


if __name__ == "__main__":
    main()
