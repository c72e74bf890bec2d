"""Lossless coding of a motion field. Specified in ``docs/format.md``, section "Motion".

A field of 8x8 blocks is coded as units of 2x2 blocks. Each unit has a base vector, the commonest
of its four. Bases are coded stage by stage (:mod:`roicodec.bitstream.motion_grid`): a choice among
the distinct vectors of the known neighbours and of the frame before, or a difference from the
neighbours' median. Then a flag says whether a unit is split, and split units give each block's
vector in the same way. Within a stage no symbol depends on another, so all of it is vectorised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import VECTOR_LIMIT
from roicodec.bitstream.entropy import Ints, SymbolDecoder, SymbolEncoder
from roicodec.bitstream.motion_trees import Contexts, shipped_contexts
from roicodec.bitstream.motion_walk import walk
from roicodec.bitstream.range_coder import (
    NativeDecoder,
    NativeEncoder,
    RangeDecoder,
    RangeEncoder,
    check,
    range_decoder,
    range_encoder,
)
from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = [
    "checked",
    "decode_field",
    "encode_field",
    "get_motion",
    "put_motion",
]


Field = NDArray[np.int16]
Needs = NDArray[np.uint8]


class _Writer:
    def __init__(self, encoder: RangeEncoder, contexts: Contexts) -> None:
        self._contexts = contexts
        self._encoder = encoder

    def symbols(self, name: str, features: Ints, values: Ints | None) -> Ints:
        assert values is not None
        index = self._contexts.trees[name].leaf(features)
        self._encoder.put(self._contexts.tables[name], np.ascontiguousarray(values), index)
        return values

    def uniform(self, widths: Ints, values: Ints | None) -> Ints:
        assert values is not None
        for width in np.unique(widths[widths > 0]).tolist():
            self._encoder.put_uniform(values[widths == width], 1 << width)
        return values


class _Reader:
    def __init__(self, decoder: RangeDecoder, contexts: Contexts) -> None:
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


# --- both forms ---------------------------------------------------------------------------------


def _encode_field(
    encoder: RangeEncoder, vectors: Field, previous: Field | None, needs: Needs | None,
    contexts: Contexts,
) -> Field:  # fmt: skip
    writer = _Writer(encoder, contexts)
    return walk(vectors.shape[:2], previous, writer, vectors, needs).astype(np.int16)


def _decode_field(
    decoder: RangeDecoder, shape: tuple[int, int], previous: Field | None, needs: Needs | None,
    contexts: Contexts,
) -> Field:  # fmt: skip
    return walk(shape, previous, _Reader(decoder, contexts), None, needs).astype(np.int16)


def _native_encode_field(
    encoder: RangeEncoder, vectors: Field, previous: Field | None, needs: Needs | None,
    contexts: Contexts,
) -> Field:  # fmt: skip
    if not isinstance(encoder, NativeEncoder):
        return _encode_field(encoder, vectors, previous, needs, contexts)
    field = np.array(vectors, np.int16, order="C")
    _call("rq_encode_motion", encoder.state, field, previous, needs, contexts)
    return field


def _native_decode_field(
    decoder: RangeDecoder, shape: tuple[int, int], previous: Field | None, needs: Needs | None,
    contexts: Contexts,
) -> Field:  # fmt: skip
    if not isinstance(decoder, NativeDecoder):
        return _decode_field(decoder, shape, previous, needs, contexts)
    field = np.empty((*shape, 2), np.int16)
    _call("rq_decode_motion", decoder.state, field, previous, needs, contexts)
    return field


def _call(
    name: str, state: int, field: Field, previous: Field | None, needs: Needs | None,
    contexts: Contexts,
) -> None:  # fmt: skip
    rows, columns = field.shape[0] // 2, field.shape[1] // 2
    before = None if previous is None else np.ascontiguousarray(previous, np.int16)
    need = None if needs is None else np.ascontiguousarray(needs, np.uint8)
    check(
        function(name, "ppllppp", "i")(
            state, address(contexts.laid_out[0], np.int64), rows, columns,
            None if before is None else address(before, np.int16),
            None if need is None else address(need, np.uint8), address(field, np.int16),
        )
    )  # fmt: skip


def _probe_fields() -> Iterator[tuple[Field, Field | None, Needs | None]]:
    """Fields that pan, are split, and jump, with and without one before, and used in part."""
    row, column = np.indices((14, 22))
    pan = np.stack([row // 5 * 9 - 7, column // 8 * 5 - 3], -1)
    jump = np.stack([row * 613 % 4095 - 2047, column * row * 37 % 4095 - 2047], -1)
    mixed = np.where((row * column % 11 == 3)[..., None], jump, pan)
    fields = [f.astype(np.int16) for f in (pan, mixed, jump)]
    yield fields[0], None, None
    yield fields[1], None, None
    yield fields[1], fields[0], None
    yield fields[2], fields[1], None
    needs = (row * 5 + column * 3)[:7, :11] % 7 % 3
    yield fields[2], fields[1], needs.astype(np.uint8)
    yield fields[1], None, needs.astype(np.uint8)


def _probe_encode(
    form: Callable[[RangeEncoder, Field, Field | None, Needs | None, Contexts], Field],
) -> Arrays:
    for field, previous, needs in _probe_fields():
        encoder = range_encoder()
        yield form(encoder, field, previous, needs, shipped_contexts())
        yield np.frombuffer(encoder.finish(), np.uint8)


def _probe_decode(
    form: Callable[[RangeDecoder, tuple[int, int], Field | None, Needs | None, Contexts], Field],
) -> Arrays:
    data = (np.arange(700) ** 3 % 251).astype(np.uint8).tobytes()
    for number, (field, previous, needs) in enumerate(_probe_fields()):
        shape = field.shape[0], field.shape[1]
        yield form(range_decoder(data[97 * number :]), shape, previous, needs, shipped_contexts())


encode_field = Operation(
    "motion encoding", _encode_field, _native_encode_field, _probe_encode, 0xC1BC63CF
)
decode_field = Operation(
    "motion decoding", _decode_field, _native_decode_field, _probe_decode, 0xAE23AA8C
)


# --- public -------------------------------------------------------------------------------------


def _matching(shape: tuple[int, ...], previous: Field | None) -> None:
    if previous is not None and previous.shape[:2] != shape:
        raise ValueError(f"a field of {list(shape)} after one of {list(previous.shape)}")


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
    needs: NDArray[np.uint8] | None = None,
) -> NDArray[np.int16]:
    """Code a field of vectors.

    Args:
        encoder: the run that takes it.
        vectors: int16 ``[H / 8, W / 8, 2]``, (dx, dy) in quarter luma samples, within
            ``+-VECTOR_LIMIT``; both sides even.
        previous: the field that is expected, of the same shape; None where none is.
        contexts: other tables than the format's, for experiments.
        needs: ``CODED``, ``FREE`` or ``EXPECTED`` (:mod:`roicodec.bitstream.motion_walk`) of each
            2x2 blocks, uint8 ``[H / 16, W / 16]``; None for all coded.

    Returns:
        The field as a decoder will have it: other vectors where they are not coded.

    Raises:
        ValueError: if the shape or a vector is out of range.
    """
    _matching(vectors.shape[:2], previous)
    return encode_field(
        encoder.coder, checked(vectors), previous, needs, contexts or shipped_contexts()
    )


def get_motion(
    decoder: SymbolDecoder,
    shape: tuple[int, int],
    previous: NDArray[np.int16] | None,
    contexts: Contexts | None = None,
    needs: NDArray[np.uint8] | None = None,
) -> NDArray[np.int16]:
    """Motion field that :func:`put_motion` wrote.

    Args:
        decoder: the run that has it.
        shape: (H / 8, W / 8), both even.
        previous, contexts, needs: as given to the encoder.

    Returns:
        int16 ``[H / 8, W / 8, 2]`` within ``+-VECTOR_LIMIT``, even from damaged data.

    Raises:
        StreamError: if it cannot be read at all.
    """
    _matching(shape, previous)
    return decode_field(decoder.coder, shape, previous, needs, contexts or shipped_contexts())
