"""Decoded frames as later frames refer to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.decoder.adaptation import ChannelSums
from roicodec.picture import Plane

__all__ = ["Reference"]


@dataclass(frozen=True, eq=False)
class Reference:
    """Decoded frame as later frames refer to it; never changed.

    Attributes:
        planes: padded Y, U and V before the post-filter, uint8 ``[Hp, Wp]`` and twice
            ``[Hp / 2, Wp / 2]``.
        features: for the next frame's context, int16 ``[(Hp/8) (Wp/8), 32]``.
        vectors: its motion field in quarter luma samples, int16 ``[Hp / 8, Wp / 8, 2]``; None of
            an intra frame.
        sums: magnitudes of the latents coded since the intra frame, faded
            (:mod:`roicodec.decoder.adaptation`).
    """

    planes: tuple[Plane, Plane, Plane]
    features: NDArray[np.int16]
    vectors: NDArray[np.int16] | None
    sums: ChannelSums
