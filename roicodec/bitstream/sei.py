"""The two bit-widths of a frame: its first four bytes, readable without any model.

Bypass-coded: two 16-bit unsigned integers, most significant bit first, no entropy coding.
"""

from __future__ import annotations

import struct

from roicodec.errors import StreamError

__all__ = ["SIZE", "pack", "unpack"]

SIZE = 4
"""Bytes of the SEI."""


def pack(b_roi: int, b_bg: int) -> bytes:
    """The SEI of a frame: bit-width of its ROI, then of its non-ROI, each 0..65535.

    Raises:
        ValueError: if a bit-width does not fit in 16 bits.
    """
    if not 0 <= b_roi < 1 << 16 or not 0 <= b_bg < 1 << 16:
        raise ValueError(f"bit-widths {b_roi}, {b_bg} are not two 16-bit integers")
    return struct.pack(">HH", b_roi, b_bg)


def unpack(data: bytes) -> tuple[int, int]:
    """Bit-widths ``(b_roi, b_bg)`` from the first four bytes of a frame's payload.

    Raises:
        StreamError: if there are fewer than four bytes.
    """
    if len(data) < SIZE:
        raise StreamError(f"the SEI needs {SIZE} bytes, {len(data)} are there")
    b_roi, b_bg = struct.unpack_from(">HH", data)
    return b_roi, b_bg
