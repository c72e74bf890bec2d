"""Freed memory, kept by the process for its next arrays.

A frame's arrays are some megabytes each, and as many are made for the next frame. By default the C
library gives such blocks back to the system, which must then clear every page again at its first
use: a tenth of the time of decoding.
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` of the GNU C library."""

_KEPT = 128 << 20
"""Bytes that are kept free at the end of a heap."""

_LARGEST = 32 << 20
"""Blocks from this size on are the system's: the most that ``mallopt`` takes."""


def keep_freed() -> bool:
    """Setting of the C library's allocator, for a program that is nothing but the codec.

    Returns:
        whether it took effect; other C libraries than GNU's have no such setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # Given one of the two, the allocator no longer adapts the other.
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
