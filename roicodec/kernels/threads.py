"""Number of threads that compute, and who of them is at work.

Native kernels work on bands of rows side by side (``native/bands.cpp``): helpers sleep until a call
invites them. Tasks on Python threads (:mod:`roicodec.tasks`) say here that they are at work, and
calls invite no more helpers than there are threads without work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from roicodec.kernels.native import library

__all__ = ["occupied", "set_threads", "threads"]

_asked: int | None = None


def threads() -> int:
    """Number of threads that compute; by default the cores that the process may use."""
    return _asked or len(os.sched_getaffinity(0))


def set_threads(number: int) -> None:
    """Setting of the number of threads that compute; with 1, everything is the caller's.

    Args:
        number: 1 or more.
    """
    global _asked
    _asked = max(number, 1)
    found = library()
    if found is not None:
        found.rq_set_threads(_asked)


@contextmanager
def occupied() -> Iterator[None]:
    """Context in which the calling thread is at work, so that its core is not given away."""
    found = library()
    if found is None:
        yield
        return
    found.rq_occupy(1)
    try:
        yield
    finally:
        found.rq_occupy(-1)
