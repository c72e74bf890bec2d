"""The native kernels as a backend, and the known answers without which they are not used.

The answers are checksums of what the definition gives (:func:`defined`; a test holds them), for
layers with weights as large as they may be on rows that drive accumulators to both ends: an
instruction that saturates or rounds otherwise, or a compiler that takes liberties, shows there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from roicodec.errors import InputError, ModelError
from roicodec.kernels import integer, native
from roicodec.kernels.integer import (
    SKELETON,
    Depthwise,
    Grid,
    Ints,
    Pointwise,
    Quantize,
)
from roicodec.kernels.matrix import Field, PackedBlock, PackedPointwise, run_block
from roicodec.kernels.operations import checksum

__all__ = ["ANSWERS", "NativeBackend", "computed", "defined", "trials"]

ANSWERS = {
    2: 0x5EADBE9A,
    3: 0xF7509872,
    4: 0x67E15F28,
    5: 0xEDED7D93,
    6: 0xA634CC22,
    7: 0x07D9B63C,
    8: 0x3BC50E0F,
    16: 0x6830F2C3,
}
"""Checksum of the known answer for each bit-width."""

_CIN, _COUT, _ROWS = 72, 40, 14
_HEIGHT, _WIDTH, _CHANNELS, _EXTRA = 3, 5, 40, 8
_UNSIGNED_8 = Grid(8, signed=False)


class NativeBackend:
    """The native kernels, at the level in use.

    Raises:
        ModelError: if there are none, or they do not give the known answers.

    Attributes:
        name: ``native``.
        reason: why it is used.
        device: ``cpu``, for what still runs in torch.
    """

    name = "native"
    device = "cpu"

    def __init__(self) -> None:
        try:
            library = native.library()
        except InputError as error:
            raise ModelError(str(error)) from error
        if library is None:
            raise ModelError(f"no native kernels: {native.reason()}")
        for bits, answer in ANSWERS.items():
            if checksum(computed(bits)) != answer:
                raise ModelError(
                    f"the native kernels are not exact on this machine at {bits} bits"
                    f" ({native.reason()})"
                )
        self.reason = f"exact on this CPU, {native.reason()}"


def computed(bits: int) -> Iterator[NDArray[np.generic]]:
    """Results of the native kernels for the layers of a known answer."""
    for layer, rows in trials(bits):
        packed = PackedPointwise(layer)
        yield packed(rows)
        if layer.target == SKELETON:
            yield packed.accumulate(_scattered(rows.shape[0], _COUT, 5), rows)
    first, mix_in, spatial, mix_out, second, expand, project = _block(bits)
    block = PackedBlock.of((first, mix_in, spatial, mix_out, second, expand, project))
    places = np.array([7, 0, 3, 14, 8, 4, 9])
    rows = _scattered(len(places), _CHANNELS, 11)
    field = Field(_HEIGHT, _WIDTH, _CHANNELS)
    context = _scattered(len(places), _EXTRA, 3)
    part = slice(0, len(places))
    yield run_block([(block, part)], rows, Field.places(places, _WIDTH), field, context)


def defined(bits: int) -> Iterator[Ints]:
    """Results of the definition for the same."""
    for layer, rows in trials(bits):
        yield integer.pointwise(rows, layer)
        if layer.target == SKELETON:
            yield integer.accumulate(_scattered(rows.shape[0], _COUT, 5), rows, layer)
    first, mix_in, spatial, mix_out, second, expand, project = _block(bits)
    places = np.array([7, 0, 3, 14, 8, 4, 9])
    stream: Ints = _scattered(len(places), _CHANNELS, 11).astype(np.int64)
    read = np.concatenate((stream, _scattered(len(places), _EXTRA, 3)), 1)
    field = np.zeros((_HEIGHT * _WIDTH, _CHANNELS), np.int64)
    field[places] = integer.pointwise(integer.quantize(read, first), mix_in)
    around = integer.depthwise(field.reshape(_HEIGHT, _WIDTH, _CHANNELS), spatial)
    stream = integer.accumulate(stream, around.reshape(field.shape)[places], mix_out)
    hidden = integer.pointwise(integer.quantize(stream, second), expand)
    yield integer.accumulate(stream, hidden, project)


def _scattered(rows: int, columns: int, seed: int) -> NDArray[np.int16]:
    """Integers all over int16, the same everywhere."""
    values = np.arange(1, rows * columns + 1, dtype=np.uint64) * np.uint64(2654435761 + 2 * seed)
    values ^= values >> np.uint64(15)
    values = values * np.uint64(2246822519) >> np.uint64(12)
    return (values & np.uint64(65535)).astype(np.uint16).view(np.int16).reshape(rows, columns)


def _weight(cout: int, cin: int, top: int, seed: int) -> Ints:
    """Weights up to ``top``: of a channel all the largest, of one all the least, and mixed."""
    weight = _scattered(cout, cin, seed).astype(np.int64) * top // 32768
    weight[0], weight[1] = top, -top
    return weight


def _pointwise(cout: int, cin: int, source: Grid, target: Grid, seed: int) -> Pointwise:
    """A layer whose accumulators, shifted, fill its target's grid and go beyond it."""
    limit = integer.MAX_WEIGHT if source.bits == 16 else 127
    top = min(limit, (1 << 30) // (source.magnitude * cin))
    weight = _weight(cout, cin, top, seed)
    bias = _scattered(1, cout, seed + 1)[0].astype(np.int64)
    reach = int(integer.accumulator_bound(weight, bias, source).max()).bit_length()
    shift = reach - target.bits - 1 - np.arange(cout) % 4
    return Pointwise(weight, bias, shift, source, target)


def trials(bits: int) -> Iterator[tuple[Pointwise, NDArray[np.int16]]]:
    """Pointwise layers of the known answer, with the rows that they run on."""
    for layer in _layers(bits):
        yield layer, _rows(layer)


def _layers(bits: int) -> Iterator[Pointwise]:
    signed, unsigned = Grid(bits, signed=True), Grid(bits, signed=False)
    for source in (signed, unsigned):
        for target in (SKELETON, unsigned):
            yield _pointwise(_COUT, _CIN, source, target, bits)
        # A bias that leaves accumulators of zero where all inputs are at their highest, unshifted:
        # neither clamp nor shift hides an error in the largest sums.
        plain = _pointwise(_COUT, _CIN, source, SKELETON, bits)
        bias = -source.high * plain.weight.sum(1)
        yield Pointwise(plain.weight, bias, np.zeros_like(bias), source, SKELETON)


def _rows(layer: Pointwise) -> NDArray[np.int16]:
    low, high = layer.source.low, layer.source.high
    rows = _scattered(_ROWS, _CIN, 9).astype(np.int64) % (high - low + 1) + low
    rows[0], rows[1], rows[2] = low, high, 0
    rows[3] = np.where(layer.weight[2] > 0, high, low)
    rows[4] = np.where(layer.weight[2] > 0, low, high)
    return rows.astype(np.int16)


def _block(
    bits: int,
) -> tuple[Quantize, Pointwise, Depthwise, Pointwise, Quantize, Pointwise, Pointwise]:
    signed, unsigned = Grid(bits, signed=True), Grid(bits, signed=False)
    wide, c = _CHANNELS + _EXTRA, _CHANNELS
    weight, bias = _weight(c, 9, 127, 2).reshape(c, 3, 3), _scattered(1, c, 4)[0].astype(np.int64)
    shift = 18 - min(bits, 15) - np.arange(c, dtype=np.int64) % 5
    spatial = Depthwise(weight, bias, shift, _UNSIGNED_8, unsigned)
    return (
        Quantize(np.arange(wide) % 32 - 15, signed),
        _pointwise(c, wide, signed, _UNSIGNED_8, 1),
        spatial,
        _pointwise(c, c, unsigned, SKELETON, 2),
        Quantize(np.arange(c) % 13 + 4 - min(bits, 8), signed),
        _pointwise(2 * c, c, signed, unsigned, 3),
        _pointwise(c, 2 * c, unsigned, SKELETON, 4),
    )
