"""Number of threads that the libraries compute with, and the memory that they keep."""

from __future__ import annotations

import os
import sys

__all__ = ["limit_threads"]


def limit_threads(count: int) -> None:
    """Limit of ``count`` threads each for native kernels, torch and OpenCV; imports none of them.

    Freed memory stays with the process from here on (:mod:`roicodec.kernels.memory`).

    A pool wider than the free cores makes torch many times slower, and waiting threads that spin
    for long take the cores from those that work. Threads that sleep at once wake too late for the
    next layer: two were slower than one, and twice as fast when they spin for microseconds.

    Args:
        count: 1 or more; 0 for the cores that this process may use.
    """
    count = count or len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENCV_FOR_THREADS_NUM"] = str(count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(count)
    if "cv2" in sys.modules:
        import cv2

        cv2.setNumThreads(count)
    from roicodec.kernels.memory import keep_freed
    from roicodec.kernels.threads import set_threads

    set_threads(count)
    keep_freed()
