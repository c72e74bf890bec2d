"""Native matrix layers at every instruction set against the definition, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.errors import ModelError
from roicodec.kernels import integer
from roicodec.kernels.choose import hardest_layers
from roicodec.kernels.integer import (
    CANDIDATE_BITS,
    SKELETON,
    Depthwise,
    Grid,
    Ints,
    Pointwise,
    Quantize,
    accumulator_bound,
)
from roicodec.kernels.matrix import (
    Field,
    PackedBlock,
    PackedDepthwise,
    PackedPointwise,
    run_block,
)
from roicodec.kernels.threads import set_threads, threads

UNSIGNED = Grid(8, signed=False)


def random_layer(
    rng: np.random.Generator, cin: int, cout: int, source: Grid, target: Grid, wide: bool
) -> Pointwise:
    """A layer with weights as large as its accumulators allow in some channels, and dead ones."""
    top = integer.MAX_WEIGHT if wide else 127
    top = max(min(top, (1 << 29) // (source.magnitude * cin)), 1)
    weight = rng.integers(-top, top + 1, (cout, cin))
    weight[rng.random(cout) < 0.2] //= 64
    weight[rng.random(cout) < 0.1] = 0
    bias = rng.integers(-(1 << 20), 1 << 20, cout)
    reach = np.frexp(accumulator_bound(weight, bias, source))[1]
    # Accumulators of 20 bits and less may be multiplied.
    least = np.where(reach < 20, -10, 0)
    shift = np.clip(reach - target.bits + rng.integers(-9, 3, cout), least, 29)
    return Pointwise(weight, bias, shift, source, target, name=f"{cin}x{cout}")


def extreme_rows(rng: np.random.Generator, layer: Pointwise, count: int) -> NDArray[np.int16]:
    """Rows of the source grid: those that drive channels to their ends, then random ones."""
    low, high = layer.source.low, layer.source.high
    rows = rng.integers(low, high + 1, (count, layer.weight.shape[1]))
    ends = [np.where(w > 0, high, low) for w in layer.weight[:8]]
    ends += [np.where(w > 0, low, high) for w in layer.weight[:8]]
    for row, end in zip(rows, ends, strict=False):
        row[:] = end
    return rows.astype(np.int16)


@pytest.mark.parametrize("bits", CANDIDATE_BITS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_pointwise(instructions: str, bits: int, signed: bool, wide: bool) -> None:
    rng = np.random.default_rng((bits, signed, wide))
    for cin, cout in ((1, 1), (3, 17), (88, 88), (64, 64), (96, 33), (129, 130)):
        source = Grid(bits, signed=signed)
        for target in (SKELETON, UNSIGNED, Grid(bits, signed=False)):
            layer = random_layer(rng, cin, cout, source, target, wide)
            rows = extreme_rows(rng, layer, 101)
            expected = integer.pointwise(rows, layer)
            for count in (101, 1, 0):
                found = PackedPointwise(layer)(rows[:count])
                assert found.dtype == np.int16
                assert (found == expected[:count]).all()
                if target.bits <= 8:
                    found = PackedPointwise(layer, to_bytes=True)(rows[:count])
                    assert found.dtype == np.uint8
                    assert (found == expected[:count]).all()


@pytest.mark.parametrize("bits", CANDIDATE_BITS)
@pytest.mark.parametrize("wide", [False, True])
def test_accumulate(instructions: str, bits: int, wide: bool) -> None:
    rng = np.random.default_rng((bits, wide))
    for cin, cout in ((2, 1), (88, 88), (176, 128), (65, 100)):
        source = Grid(bits, signed=bool(rng.integers(2)))
        layer = random_layer(rng, cin, cout, source, SKELETON, wide)
        rows = extreme_rows(rng, layer, 97)
        before = rng.integers(-32768, 32768, (97, cout)).astype(np.int16)
        before[::3] = rng.choice([-32768, 32767], before[::3].shape)
        before[1::3] = rng.integers(-3, 4, before[1::3].shape)
        expected = integer.accumulate(before, rows, layer)
        packed = PackedPointwise(layer)
        assert (packed.accumulate(before.copy(), rows) == expected).all()
        some = rng.permutation(97)[:31].astype(np.int32)
        to = rng.permutation(97)[:31].astype(np.int32)
        after = packed.accumulate(before.copy(), rows, some, to)
        assert (after[to] == integer.accumulate(before[to], rows[some], layer)).all()
        rest = np.setdiff1d(np.arange(97), to)
        assert (after[rest] == before[rest]).all()


def test_sums_that_leave_int32_with_the_skeleton_saturate(instructions: str) -> None:
    weight = np.full((3, 2), 32639)
    shift = np.array([0, 0, 1])
    layer = Pointwise(weight, np.array([0, 7, 0]), shift, Grid(16, signed=True), SKELETON)
    rows = np.array([[32767, 32767], [-32768, -32768], [1, -1]], np.int16)
    before = np.array([[-32768] * 3, [32767] * 3, [5] * 3], np.int16)
    for own in (before, -1 - before):
        expected = integer.accumulate(own, rows, layer)
        assert (PackedPointwise(layer).accumulate(own.copy(), rows) == expected).all()


HARDEST = list(hardest_layers())


@pytest.mark.parametrize(
    "layer", [layer for layer in HARDEST if isinstance(layer, Pointwise)], ids=lambda x: x.name
)
def test_the_hardest_layers(instructions: str, layer: Pointwise) -> None:
    rng = np.random.default_rng(6)
    rows = extreme_rows(rng, layer, 60)
    assert (PackedPointwise(layer)(rows) == integer.pointwise(rows, layer)).all()


@pytest.mark.parametrize(
    "layer", [layer for layer in HARDEST if isinstance(layer, Depthwise)], ids=lambda x: x.name
)
def test_the_hardest_depthwise_layers(instructions: str, layer: Depthwise) -> None:
    rng = np.random.default_rng(6)
    values = rng.choice([0, 255], (9, 11, len(layer.weight)))
    values[:4], values[4, :5] = 255, 0
    field = Field(9, 11, len(layer.weight))
    field.values[1:-1, 1:-1, : len(layer.weight)] = values
    expected = integer.depthwise(values, layer).reshape(-1, len(layer.weight))
    found = PackedDepthwise(layer, to_bytes=layer.target.bits <= 8)(
        field, Field.places(np.arange(99), 11)
    )
    assert (found == expected).all()


@pytest.mark.parametrize("bits", CANDIDATE_BITS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shifts", [(-15, 17), (1, 17), (-15, 1), (0, 1)])
def test_quantizer(instructions: str, bits: int, signed: bool, shifts: tuple[int, int]) -> None:
    rng = np.random.default_rng((bits, signed, shifts[1]))
    for channels in (1, 7, 32, 63, 88, 129):
        grid = Grid(bits, signed=signed)
        quantize = Quantize(rng.integers(*shifts, channels), grid)
        # Products with a unit matrix show every code.
        zeros = np.zeros(channels, np.int64)
        unit = Pointwise(np.eye(channels, dtype=np.int64), zeros, zeros, grid, SKELETON)
        rows = rng.integers(-32768, 32768, (67, channels)).astype(np.int16)
        rows[0], rows[1] = -32768, 32767
        rows[2:40] >>= rng.integers(0, 15, (38, 1)).astype(np.int16)
        found = PackedPointwise(unit, quantize)(rows)
        assert (found == integer.quantize(rows, quantize)).all()


def test_rounding_and_quantizing_are_right_for_every_integer(instructions: str) -> None:
    values = np.arange(-32768, 32768).astype(np.int16)
    for low, high, bits in ((-15, 0, 16), (0, 16, 16), (-15, 0, 8), (0, 16, 8)):
        quantize = Quantize(np.arange(low, high + 1), Grid(bits, signed=True))
        count = len(quantize.shift)
        zeros = np.zeros(count, np.int64)
        unit = Pointwise(np.eye(count, dtype=np.int64), zeros, zeros, quantize.target, SKELETON)
        rows = np.repeat(values[:, None], count, 1)
        found = PackedPointwise(unit, quantize)(rows)
        assert (found == integer.quantize(rows, quantize)).all()
    shift = np.arange(-15, 16)
    eye = np.eye(len(shift), dtype=np.int64)
    zeros = np.zeros(len(shift), np.int64)
    layer = Pointwise(eye, zeros, shift, SKELETON, SKELETON)
    rows = np.repeat(values[:, None], len(shift), 1)
    assert (PackedPointwise(layer)(rows) == integer.pointwise(rows, layer)).all()
    for before in (-32768, -1, 0, 1, 32767):
        stream = np.full(rows.shape, before, np.int16)
        expected = integer.accumulate(stream, rows, layer)
        assert (PackedPointwise(layer).accumulate(stream, rows) == expected).all()


def random_depthwise(rng: np.random.Generator, channels: int, target: Grid) -> Depthwise:
    weight = rng.integers(-128, 128, (channels, 3, 3))
    weight[0] = -128
    bias = rng.integers(-99999, 99999, channels)
    shift = 18 - target.bits + rng.integers(-4, 3, channels)
    return Depthwise(weight, bias, shift, UNSIGNED, target)


@pytest.mark.parametrize("bits", CANDIDATE_BITS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (7, 10)])
def test_depthwise(instructions: str, bits: int, height: int, width: int) -> None:
    rng = np.random.default_rng((bits, height))
    for channels in (1, 16, 88, 128, 130):
        layer = random_depthwise(rng, channels, Grid(bits, signed=False))
        values = rng.integers(0, 256, (height, width, channels))
        values[rng.random((height, width)) < 0.3] = rng.choice([0, 255])
        field = Field(height, width, channels)
        field.values[1:-1, 1:-1, :channels] = values
        positions = rng.permutation(height * width)
        expected = integer.depthwise(values, layer).reshape(-1, channels)
        for to_bytes in (False, True)[: 1 + (bits <= 8)]:
            packed = PackedDepthwise(layer, to_bytes=to_bytes)
            found = packed(field, Field.places(positions, width))
            assert (found == expected[positions]).all()
        assert not len(packed(field, np.zeros(0, np.int32)))


def random_block(
    rng: np.random.Generator, bits: int, width: int, extra: int, hidden: int
) -> tuple[Quantize, Pointwise, Depthwise, Pointwise, Quantize, Pointwise, Pointwise]:
    signed, unsigned = Grid(bits, signed=True), Grid(bits, signed=False)
    first = Quantize(rng.integers(-3, 12, width + extra), signed)
    second = Quantize(rng.integers(-3, 12, width), signed)
    wide = bits == 16
    return (
        first,
        random_layer(rng, width + extra, width, signed, UNSIGNED, wide),
        random_depthwise(rng, width, unsigned),
        random_layer(rng, width, width, unsigned, SKELETON, wide),
        second,
        random_layer(rng, width, hidden, signed, unsigned, wide),
        random_layer(rng, hidden, width, unsigned, SKELETON, wide),
    )


def expected_block(
    blocks: list[tuple[Quantize, Pointwise, Depthwise, Pointwise, Quantize, Pointwise, Pointwise]],
    positions: list[Ints],
    rows: list[Ints],
    context: list[Ints],
    shape: tuple[int, int],
) -> Ints:
    """A block by the definition, the whole field at every bit-width."""
    frame = np.zeros((shape[0] * shape[1], rows[0].shape[1]), np.int64)
    for block, where, x, more in zip(blocks, positions, rows, context, strict=True):
        frame[where] = integer.pointwise(
            integer.quantize(np.concatenate((x, more), 1), block[0]), block[1]
        )
    out = []
    for block, where, x in zip(blocks, positions, rows, strict=True):
        spatial = integer.depthwise(frame.reshape(*shape, -1), block[2])
        x = integer.accumulate(x, spatial.reshape(frame.shape)[where], block[3])
        hidden = integer.pointwise(integer.quantize(x, block[4]), block[5])
        out.append(integer.accumulate(x, hidden, block[6]))
    return np.concatenate(out)


@pytest.mark.parametrize("pair", [(8, 8), (16, 8), (8, 16), (2, 4), (7, 3), (16, 5), (6, 16)])
@pytest.mark.parametrize(("width", "extra", "hidden"), [(88, 0, 176), (128, 64, 256), (24, 5, 33)])
def test_block(
    instructions: str, pair: tuple[int, int], width: int, extra: int, hidden: int
) -> None:
    rng = np.random.default_rng((*pair, width))
    shape = 9, 14
    for share in (0.0, 0.4, 1.0):
        region = rng.permutation(shape[0] * shape[1])[: int(126 * 0.7)]
        split = int(share * len(region))
        positions = [np.sort(region[:split]), np.sort(region[split:])]
        blocks = [random_block(rng, bits, width, extra, hidden) for bits in pair]
        rows = [rng.integers(-32768, 32768, (len(p), width)) for p in positions]
        context = [rng.integers(-32768, 32768, (len(p), extra)) for p in positions]
        expected = expected_block(blocks, positions, rows, context, shape)
        packed = [PackedBlock.of(block) for block in blocks]
        parts = [(packed[0], slice(0, split)), (packed[1], slice(split, len(region)))]
        places = Field.places(np.concatenate(positions), shape[1])
        field = Field(*shape, width)
        before = np.concatenate(rows).astype(np.int16)
        more = np.concatenate(context).astype(np.int16) if extra else None
        found = run_block(parts, before.copy(), places, field, more)
        assert (found == expected).all()
        # The same on a field that an earlier block has left.
        assert (run_block(parts, before.copy(), places, field, more) == expected).all()


def test_nothing_to_compute(instructions: str) -> None:
    field = Field(4, 4, 16)
    rows, places = np.zeros((0, 16), np.int16), np.zeros(0, np.int32)
    assert run_block([], rows, places, field) is rows
    block = PackedBlock.of(random_block(np.random.default_rng(0), 8, 16, 0, 32))
    run_block([(block, slice(0, 0))], rows, places, field)
    assert not field.values.any()


def test_what_does_not_fit_is_refused(instructions: str) -> None:
    rng = np.random.default_rng(0)
    layer = random_layer(rng, 8, 8, Grid(8, signed=True), SKELETON, False)
    packed = PackedPointwise(layer)
    rows = np.zeros((4, 8), np.int16)
    with pytest.raises(ValueError, match="for 8 to 8"):
        packed(np.zeros((4, 9), np.int16))
    with pytest.raises(IndexError, match="outside of 4"):
        packed(rows, np.array([4], np.int32))
    with pytest.raises(TypeError, match="int64"):
        packed(np.zeros((4, 8), np.int64))
    with pytest.raises(ValueError, match="as many rows"):
        packed.accumulate(np.zeros((3, 8), np.int16), rows)
    with pytest.raises(ValueError, match="no unsigned bytes"):
        PackedPointwise(layer, to_bytes=True)
    block = PackedBlock.of(random_block(rng, 8, 16, 0, 32))
    rows = np.zeros((2, 16), np.int16)
    with pytest.raises(IndexError, match="outside of a field of 1x1"):
        run_block([(block, slice(0, 2))], rows, np.array([4, 5], np.int32), Field(1, 1, 16))
    with pytest.raises(ValueError, match="2 rows, 1 places"):
        run_block([(block, slice(0, 2))], rows, np.zeros(1, np.int32), Field(1, 1, 16))
    with pytest.raises(ModelError):
        Grid(9, signed=True)


def test_bands_on_several_threads_make_no_difference() -> None:
    rng = np.random.default_rng(5)
    shape, width = (40, 53), 128
    positions = np.sort(rng.permutation(shape[0] * shape[1])[:1900])
    packed = [PackedBlock.of(random_block(rng, bits, width, 0, 256)) for bits in (8, 16)]
    parts = [(packed[0], slice(0, 700)), (packed[1], slice(700, 1900))]
    places, rows = Field.places(positions, shape[1]), _words(rng, 1900, width)
    layer = PackedPointwise(
        random_layer(rng, width, 96, SKELETON, SKELETON, False),
        Quantize(np.zeros(width, np.int64), SKELETON),
    )
    order = rng.permutation(1900).astype(np.int32)
    before, found = threads(), []
    try:
        for number in (1, 3):
            set_threads(number)
            block = run_block(parts, rows.copy(), places, Field(*shape, width))
            onto = layer.accumulate(np.zeros((1900, 96), np.int16), rows, order, order[::-1].copy())
            found.append((block, layer(rows), layer(rows, order), onto))
    finally:
        set_threads(before)
    for one, several in zip(*found, strict=True):
        assert (one == several).all()


def _words(rng: np.random.Generator, *shape: int) -> NDArray[np.int16]:
    return rng.integers(-32768, 32768, shape).astype(np.int16)
