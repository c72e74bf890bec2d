"""Lossless coding of a motion field. Specified in ``docs/format.md``, section "Motion".

A field of 8x8 blocks is coded as units of 2x2 blocks. Each unit has a base vector, the commonest
of its four. Bases are coded stage by stage (:mod:`roicodec.bitstream.motion_grid`): a choice among
the distinct vectors of the known neighbours and of the frame before, or a difference from the
neighbours' median. Then a flag says whether a unit is split, and split units give each block's
vector in the same way. Within a stage no symbol depends on another, so all of it is vectorised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import VECTOR_LIMIT
from roicodec.bitstream.entropy import Ints, SymbolDecoder, SymbolEncoder
from roicodec.bitstream.motion_trees import Contexts, shipped_contexts
from roicodec.bitstream.motion_walk import walk

__all__ = [
    "checked",
    "get_motion",
    "put_motion",
]


class _Writer:
    def __init__(self, encoder: SymbolEncoder, contexts: Contexts) -> None:
        self._contexts = contexts
        self._encoder = encoder

    def symbols(self, name: str, features: Ints, values: Ints | None) -> Ints:
        assert values is not None
        index = self._contexts.trees[name].leaf(features)
        self._encoder.put(self._contexts.tables[name], values, index)
        return values

    def uniform(self, widths: Ints, values: Ints | None) -> Ints:
        assert values is not None
        for width in np.unique(widths[widths > 0]).tolist():
            self._encoder.put_uniform(values[widths == width], 1 << width)
        return values


class _Reader:
    def __init__(self, decoder: SymbolDecoder, contexts: Contexts) -> None:
        self._contexts = contexts
        self._decoder = decoder

    def symbols(self, name: str, features: Ints, values: Ints | None) -> Ints:
        index = self._contexts.trees[name].leaf(features)
        return self._decoder.get(self._contexts.tables[name], index)

    def uniform(self, widths: Ints, values: Ints | None) -> Ints:
        out = np.zeros(len(widths), np.int32)
        for width in np.unique(widths[widths > 0]).tolist():
            at = widths == width
            out[at] = self._decoder.get_uniform(int(at.sum()), 1 << width)
        return out


def checked(vectors: NDArray[np.int16]) -> NDArray[np.int16]:
    """A motion field, once its shape and range are found sound.

    Raises:
        ValueError: if the shape or a vector is out of range.
    """
    if vectors.shape[0] % 2 or vectors.shape[1] % 2 or vectors.shape[2:] != (2,):
        raise ValueError(f"a field of motion is [even, even, 2], not {list(vectors.shape)}")
    if np.abs(vectors.astype(np.int32)).max() > VECTOR_LIMIT:
        raise ValueError(f"a vector is longer than {VECTOR_LIMIT} quarter samples")
    return vectors


def put_motion(
    encoder: SymbolEncoder,
    vectors: NDArray[np.int16],
    previous: NDArray[np.int16] | None,
    contexts: Contexts | None = None,
) -> None:
    """Code a field of vectors.

    Args:
        encoder: the run that takes it.
        vectors: int16 ``[H / 8, W / 8, 2]``, (dx, dy) in quarter luma samples, within
            ``+-VECTOR_LIMIT``; both sides even.
        previous: the field of the frame before, of the same shape; None after an intra frame.
        contexts: other tables than the format's, for experiments.

    Raises:
        ValueError: if the shape or a vector is out of range.
    """
    writer = _Writer(encoder, contexts or shipped_contexts())
    walk(vectors.shape[:2], previous, writer, checked(vectors))


def get_motion(
    decoder: SymbolDecoder,
    shape: tuple[int, int],
    previous: NDArray[np.int16] | None,
    contexts: Contexts | None = None,
) -> NDArray[np.int16]:
    """Read what :func:`put_motion` wrote.

    Args:
        decoder: the run that has it.
        shape: (H / 8, W / 8), both even.
        previous: as given to the encoder.
        contexts: as given to the encoder.

    Returns:
        int16 ``[H / 8, W / 8, 2]`` within ``+-VECTOR_LIMIT``, even from damaged data.

    Raises:
        StreamError: if it cannot be read at all.
    """
    reader = _Reader(decoder, contexts or shipped_contexts())
    return walk(shape, previous, reader, None).astype(np.int16)
