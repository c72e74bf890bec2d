"""The motion section of an inter frame: its skip map, its cells without a match in the reference,
and its vectors, one run of the range coder.

None needs the networks: a reader without them can tell what a frame skips and how it moves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import AVERAGE, DIRECT, FUTURE, PAST
from roicodec.bitstream.entropy import PRECISION, SymbolDecoder, SymbolEncoder, Tables
from roicodec.bitstream.mask_coding import get_mask, put_mask, unchanged
from roicodec.bitstream.masks import Mask
from roicodec.bitstream.mode_coding import Modes, get_modes, put_modes
from roicodec.bitstream.motion_coding import get_motion, put_motion
from roicodec.bitstream.motion_walk import CODED, EXPECTED, FREE

__all__ = ["Bidirectional", "Fields", "MotionReader", "encode_motion", "settled"]

Vectors = NDArray[np.int16]

Fields = tuple[Vectors, Vectors]
"""Vectors to the past reference, and to the future one."""

_NEEDS = {
    "past": {AVERAGE: CODED, PAST: CODED, FUTURE: FREE, DIRECT: EXPECTED},
    "future": {AVERAGE: CODED, PAST: FREE, FUTURE: CODED, DIRECT: EXPECTED},
}


class Bidirectional(NamedTuple):
    """Motion of a bidirectional frame, without the vectors to its past reference.

    Attributes:
        vectors: to the future reference, int16 ``[H / 8, W / 8, 2]``.
        modes: prediction mode of each cell, uint8 ``[H / 16, W / 16]``.
        expected: what the vectors are expected to be; None for unknown.
    """

    vectors: Vectors
    modes: Modes
    expected: Vectors | None


_RARE = Tables([[(1 << PRECISION) - (1 << PRECISION - 5), 1 << PRECISION - 5]])
"""One frame in 32 has cells without a match."""


def encode_motion(
    skip: Mask | None,
    previous_skip: Mask | None,
    vectors: Vectors,
    previous_vectors: Vectors | None,
    unmatched: Mask | None = None,
    both: Bidirectional | None = None,
) -> bytes:
    """Code a skip map, cells without a match and motion; no bytes where the map stays, all have a
    match and nothing moves, or, in bidirectional frames, all moves as is expected.

    Args:
        skip: bool ``[ceil(H / 16), ceil(W / 16)]``; None for the map that takes no bits.
        previous_skip: of the frame before; None after an intra frame.
        vectors: as :func:`~roicodec.bitstream.motion_coding.put_motion` takes them.
        previous_vectors: that are expected; None for unknown, as after an intra frame.
        unmatched: cells without a match, bool of the skip map's shape; None for none.
        both: of bidirectional frames.

    Raises:
        ValueError: if a shape does not fit, or a vector is out of range.
    """
    changes = skip is not None and not np.array_equal(skip, unchanged(skip.shape, previous_skip))
    moves = bool(vectors.any()) if both is None else bool((both.modes != DIRECT).any())
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
    if moves and both is None:
        put_motion(encoder, vectors, previous_vectors)
    elif moves and both is not None:
        put_modes(encoder, both.modes)
        _put_fields(encoder, vectors, previous_vectors, both)
    return encoder.finish()


def settled(vectors: Vectors, expected: Vectors | None, both: Bidirectional) -> Fields:
    """Motion of a bidirectional frame as a decoder will have it: where vectors are not coded they
    are others than those given."""
    return _put_fields(SymbolEncoder(), vectors, expected, both)


def _put_fields(
    encoder: SymbolEncoder, vectors: Vectors, expected: Vectors | None, both: Bidirectional
) -> Fields:
    return (
        put_motion(encoder, vectors, expected, needs=_needs(both.modes, "past")),
        put_motion(encoder, both.vectors, both.expected, needs=_needs(both.modes, "future")),
    )


def _needs(modes: Modes, field: str) -> NDArray[np.uint8]:
    needs = np.array([_NEEDS[field][mode] for mode in range(len(_NEEDS[field]))], np.uint8)
    return needs[modes]


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

    def vectors(self, shape: tuple[int, int], expected: Vectors | None) -> Vectors:
        """The motion field of a frame with one reference, int16 ``[*shape, 2]``; to be called once.

        Raises:
            StreamError: as above.
        """
        if not self._moves:
            return np.zeros((*shape, 2), np.int16)
        return get_motion(self._decoder, shape, expected)

    def bidirectional(
        self, shape: tuple[int, int], expected: tuple[Vectors | None, Vectors | None]
    ) -> tuple[Vectors, Vectors, Modes]:
        """Both fields and the modes of a frame with two references; to be called once.

        Raises:
            StreamError: as above.
        """
        cells = shape[0] // 2, shape[1] // 2
        if not self._moves:
            past, future = (
                np.zeros((*shape, 2), np.int16) if field is None else field for field in expected
            )
            return past, future, np.full(cells, DIRECT, np.uint8)
        modes = get_modes(self._decoder, cells)
        past, future = (
            get_motion(self._decoder, shape, field, needs=_needs(modes, name))
            for name, field in zip(_NEEDS, expected, strict=True)
        )
        return past, future, modes
