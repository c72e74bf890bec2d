"""Number of worker processes that a machine has cores and memory for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["automatic_jobs", "check_memory", "free_memory", "worker_bytes"]

_BASE = {"encode": 160 << 20, "decode": 90 << 20}
"""Bytes of a worker of one thread, the networks loaded, before its first picture."""

_PER_PIXEL = {"encode": 620, "decode": 60}
"""Bytes that it needs for each pixel of a picture. Peaks at 176x144, 640x360 and 1280x720 were 162,
279 and 670 MiB in encoding, 79, 88 and 116 in decoding."""

_LEAST_PIXELS = 2.5e7
"""Pixels of a video below which more processes do not gain what they take to start."""

_MEMORY_SHARE = 0.8
"""Part of the free memory that is used."""


def worker_bytes(pixels: int, task: str) -> int:
    """Memory that a worker needs, about.

    Args:
        pixels: of a picture.
        task: ``encode`` or ``decode``.
    """
    return _BASE[task] + _PER_PIXEL[task] * pixels


def automatic_jobs(pixels: int, frames: int | None, gop: int, task: str) -> int:
    """Number of processes for a video, by cores, memory and its length; 1 where it is short.

    Args:
        pixels: of a picture.
        frames: number of pictures; None when unknown.
        gop: most frames of a GOP.
        task: ``encode`` or ``decode``.
    """
    if frames is None or frames * pixels < _LEAST_PIXELS:
        return 1
    cores = len(os.sched_getaffinity(0))
    parts = frames // gop
    room = int(_MEMORY_SHARE * free_memory() / worker_bytes(pixels, task))
    return max(1, min(cores, parts, room))


def free_memory() -> int:
    """Bytes of memory that this process and its children may take now."""
    free = 1 << 62
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) << 10
    limit, used = (_text(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        free = min(free, int(limit) - int(used))
    return max(free, 0)


def check_memory(jobs: int, pixels: int, task: str, warn: Callable[[str], None]) -> None:
    """Warning where so many workers may need more memory than is free."""
    needed, free = jobs * worker_bytes(pixels, task), free_memory()
    if needed > free:
        warn(
            f"{jobs} processes need about {needed / 2**30:.1f} GiB of memory,"
            f" {free / 2**30:.1f} GiB are free"
        )


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
