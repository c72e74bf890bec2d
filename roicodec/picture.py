"""The one picture type that travels between the modules: 8-bit planar 4:2:0."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Picture", "Plane"]

Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One frame of video, 4:2:0, 8 bits a sample.

    Attributes:
        y: luma, uint8 ``[H, W]``.
        u, v: chroma, uint8 ``[(H + 1) // 2, (W + 1) // 2]``.
        pts: presentation time in units of the stream's time base.
        duration: in the same units; 0 when unknown.
    """

    y: Plane
    u: Plane
    v: Plane
    pts: int = 0
    duration: int = 0

    @property
    def height(self) -> int:
        return int(self.y.shape[0])

    @property
    def width(self) -> int:
        return int(self.y.shape[1])

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        return self.y, self.u, self.v

    def crc32(self) -> int:
        """CRC-32 (ISO-HDLC) of the samples of Y, then U, then V, each in raster order."""
        crc = 0
        for plane in self.planes:
            crc = zlib.crc32(np.ascontiguousarray(plane).data, crc)
        return crc
