"""The motion section of an inter frame: its skip map, its cells without a match in the reference,
and its vectors, one run of the range coder.

None needs the networks: a reader without them can tell what a frame skips and how it moves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import PRECISION, SymbolDecoder, SymbolEncoder, Tables
from roicodec.bitstream.mask_coding import get_mask, put_mask, unchanged
from roicodec.bitstream.masks import Mask
from roicodec.bitstream.motion_coding import get_motion, put_motion

__all__ = ["MotionReader", "encode_motion"]

Vectors = NDArray[np.int16]

_RARE = Tables([[(1 << PRECISION) - (1 << PRECISION - 5), 1 << PRECISION - 5]])
"""One frame in 32 has cells without a match."""


def encode_motion(
    skip: Mask | None,
    previous_skip: Mask | None,
    vectors: Vectors,
    previous_vectors: Vectors | None,
    unmatched: Mask | None = None,
) -> bytes:
    """Code a skip map, cells without a match and a motion field; no bytes where the map stays, all
    have a match and nothing moves.

    Args:
        skip: bool ``[ceil(H / 16), ceil(W / 16)]``; None for the map that takes no bits.
        previous_skip: of the frame before; None after an intra frame.
        vectors: as :func:`~roicodec.bitstream.motion_coding.put_motion` takes them.
        previous_vectors: of the frame before; None after an intra frame.
        unmatched: cells without a match, bool of the skip map's shape; None for none.

    Raises:
        ValueError: if a shape does not fit, or a vector is out of range.
    """
    changes = skip is not None and not np.array_equal(skip, unchanged(skip.shape, previous_skip))
    moves = bool(vectors.any())
    some = unmatched is not None and bool(unmatched.any())
    if not changes and not moves and not some:
        return b""
    encoder = SymbolEncoder()
    encoder.put_uniform([changes, moves], 2)
    encoder.put(_RARE, [some], [0])
    if changes and skip is not None:
        put_mask(encoder, skip, previous_skip, "skip")
    if some and unmatched is not None:
        put_mask(encoder, unmatched, None, "roi")
    if moves:
        put_motion(encoder, vectors, previous_vectors)
    return encoder.finish()


class MotionReader:
    """Reader of a motion section: its maps at once, its vectors on demand.

    Args:
        data: the section.
        grid: rows and columns of the skip map.
        previous_skip: as given to the encoder.

    Attributes:
        skip: the skip map, bool of shape ``grid``.
        unmatched: cells without a match, of the same shape; None for none.

    Raises:
        StreamError: if the section cannot be read. Damaged data may also give a wrong map.
    """

    def __init__(self, data: bytes, grid: tuple[int, int], previous_skip: Mask | None) -> None:
        self._decoder = SymbolDecoder(data)
        changes, moves = self._decoder.get_uniform(2, 2) if data else (0, 0)
        self._moves = bool(moves)
        some = bool(data) and bool(self._decoder.get(_RARE, [0])[0])
        self.skip = (
            get_mask(self._decoder, grid, previous_skip, "skip")
            if changes
            else unchanged(grid, previous_skip).copy()
        )
        self.unmatched = get_mask(self._decoder, grid, None, "roi") if some else None

    def vectors(self, shape: tuple[int, int], previous: Vectors | None) -> Vectors:
        """The motion field, int16 ``[*shape, 2]``; to be called once.

        Raises:
            StreamError: as above.
        """
        if not self._moves:
            return np.zeros((*shape, 2), np.int16)
        return get_motion(self._decoder, shape, previous)
