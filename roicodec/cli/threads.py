"""How many threads the libraries compute with."""

from __future__ import annotations

import os

__all__ = ["limit_threads"]


def limit_threads(count: int) -> None:
    """Give torch and OpenCV ``count`` threads. Call it before anything imports torch.

    A pool wider than the free cores makes torch many times slower, and waiting threads that spin
    for long take the cores from those that work. Threads that sleep at once wake too late for the
    next layer: two were slower than one, and twice as fast when they spin for microseconds.
    """
    os.environ["OMP_NUM_THREADS"] = str(count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    import cv2
    import torch

    torch.set_num_threads(count)
    cv2.setNumThreads(count)
