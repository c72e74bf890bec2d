"""Motion over several frames, from the motion of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import BLOCK, VECTOR_LIMIT, VECTOR_UNIT

__all__ = ["MotionChain"]

Vectors = NDArray[np.int16]


class MotionChain:
    """Fields of the last frames, each to the frame before it.

    Args:
        length: number of frames that are kept.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._fields: dict[int, Vectors] = {}

    def add(self, number: int, vectors: Vectors) -> None:
        """Next field, of frame ``number``, int16 ``[Hp / 8, Wp / 8, 2]``."""
        self._fields[number] = vectors
        self._fields.pop(number - self._length, None)

    def between(self, number: int, reference: int) -> Vectors | None:
        """Field from a frame to another, int16 ``[Hp / 8, Wp / 8, 2]``; None where one between is
        not known. Every block follows where its centre goes; to later frames, against the motion
        of what is there.

        Args:
            number, reference: of the two frames, in the order of presentation.
        """
        back = reference < number
        steps = range(number, reference, -1) if back else range(number + 1, reference + 1)
        if any(step not in self._fields for step in steps):
            return None
        shape = self._fields[steps[0]].shape[:2]
        place = np.moveaxis(np.indices(shape)[::-1], 0, -1)
        total = np.zeros((*shape, 2), np.int32)
        for step in steps:
            at = place + (total + BLOCK * VECTOR_UNIT // 2) // (BLOCK * VECTOR_UNIT)
            x, y = (at[..., axis].clip(0, shape[1 - axis] - 1) for axis in (0, 1))
            moved = self._fields[step][y, x].astype(np.int32)
            total += moved if back else -moved
        return total.clip(-VECTOR_LIMIT, VECTOR_LIMIT).astype(np.int16)
