"""Native forms of a coding step, and of hyper-latents, against their references."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.bitstream.range_coder import (
    NativeDecoder,
    NativeEncoder,
    RangeDecoder,
    ReferenceDecoder,
    ReferenceEncoder,
)
from roicodec.bitstream.tables import Tables, integer_frequencies
from roicodec.decoder.latents import decode_squares, encode_squares
from roicodec.errors import StreamError
from roicodec.kernels.latents import (
    LatentModel,
    add_bits,
    choose_symbols,
    latent_model,
    latent_values,
)
from tests.kernels.operations import agree

SHAPES = ((1, 1), (2, 3), (7, 10), (12, 16))
CHANNELS, TABLES = 96, 48


def some_model(rng: np.random.Generator, shape: tuple[int, int], step: int) -> LatentModel:
    height, width = shape
    share = rng.choice([0, 0.3, 1])
    positions = np.flatnonzero(rng.random(height * width) < share)
    named = rng.integers(-9, TABLES + 9, (len(positions), CHANNELS // 4)).astype(np.int32)
    own = rng.integers(1, 32768, (4, CHANNELS)).astype(np.int32)
    stand_ins = rng.integers(0, TABLES, (CHANNELS, TABLES)).astype(np.int32)
    level = rng.integers(0, 4, height * width).astype(np.uint8)
    made: LatentModel = agree(latent_model, named, positions, width, step, level, own, stand_ins)
    return made


def some_symbols(
    rng: np.random.Generator, model: LatentModel
) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    count = len(model.pairs)
    symbols = rng.integers(-3, 4, count)
    far = rng.random(count) < 0.1
    symbols[far] = rng.integers(-(1 << 24), 1 << 24, far.sum())
    return symbols.astype(np.int32), rng.integers(-32768, 32768, count).astype(np.int16)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", range(4))
def test_a_coding_step(instructions: str, shape: tuple[int, int], step: int) -> None:
    rng = np.random.default_rng([*shape, step])
    model = some_model(rng, shape, step)
    symbols, mean = some_symbols(rng, model)
    expected = rng.integers(0, 600, TABLES)
    made = []
    for form in (latent_values.reference, latent_values.native):
        latents = np.zeros((shape[0] * shape[1], CHANNELS), np.int16)
        made.append((*form(symbols, mean, model, expected, latents), latents))
    for one, other in zip(*made, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_all_channels_of_all_positions_are_coded_once(instructions: str) -> None:
    rng = np.random.default_rng(1)
    named = np.zeros((24, CHANNELS // 4), np.int32)
    own, stand_ins = np.ones((2, CHANNELS), np.int32), np.zeros((CHANNELS, 3), np.int32)
    level = rng.integers(0, 2, 24).astype(np.uint8)
    steps = [
        agree(latent_model, named, np.arange(24), 6, step, level, own, stand_ins)
        for step in range(4)
    ]
    pairs = np.sort(np.concatenate([model.pairs for model in steps]))
    np.testing.assert_array_equal(pairs, np.arange(24 * CHANNELS))


@pytest.mark.parametrize("lambda_", [0.0, 0.09, 2.0])
def test_symbols_and_their_bits(instructions: str, lambda_: float) -> None:
    rng = np.random.default_rng(int(100 * lambda_))
    shape, low, high = (12, 16), -64, 64
    bits = rng.random((TABLES, 130)) * 12
    bits[3, 66:70] = np.inf
    bits[5] = 0
    rows = [np.zeros(shape[0] * shape[1]) for _ in range(2)]
    for step in range(4):
        model = some_model(rng, shape, step)
        steps = np.minimum(model.steps, 400)
        model = model._replace(steps=steps)
        mean = rng.integers(-300, 300, len(steps)).astype(np.int16)
        target = (rng.normal(0, 40, shape[0] * shape[1] * CHANNELS) ** 3 / 400).astype(np.float32)
        # Halves, at which rounding goes to the even one.
        exact = model.pairs[::3]
        target[exact] = mean[::3] + steps[::3] * rng.integers(-9, 10, len(exact)) / 32
        symbols = agree(choose_symbols, target, mean, model, bits, low, high, lambda_)
        assert (symbols[model.tables == 0] == 0).all()
        for form, own in zip((add_bits.reference, add_bits.native), rows, strict=True):
            form(symbols, model, CHANNELS, bits, low, high, own)
    np.testing.assert_array_equal(rows[1], rows[0])


def test_arguments_are_checked(instructions: str) -> None:
    rng = np.random.default_rng(2)
    places, numbers, mean = np.zeros(4, np.int64), np.zeros(4, np.int32), np.zeros(4, np.int16)
    model = LatentModel(places, numbers, numbers, places)
    bits, latents = rng.random((TABLES, 130)), np.zeros((5, CHANNELS), np.int16)
    with pytest.raises(ValueError, match="columns of the symbols"):
        choose_symbols.native(np.zeros(99, np.float32), mean, model, bits, -65, 65, 0.1)
    with pytest.raises(ValueError, match="of 4 latents"):
        latent_values.native(np.zeros(3, np.int32), mean, model, np.zeros(48, np.int64), latents)
    with pytest.raises(ValueError, match="positions beyond"):
        latent_model.native(
            np.zeros((1, 24), np.int32), np.array([7]), 2, 0, np.zeros(6, np.bool_),
            np.zeros((2, CHANNELS), np.int32), np.zeros((CHANNELS, TABLES), np.int32),
        )  # fmt: skip


def outcome(form: object, decoder: RangeDecoder, whole: tuple[int, ...], tables: Tables) -> object:
    """Hyper-latents, or why there are none."""
    assert callable(form)
    try:
        return form(decoder, whole, tables).tolist()
    except StreamError as error:
        return str(error)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (6, 7)])
def test_hyper_latents(instructions: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape)
    tables = Tables(integer_frequencies(rng.random((5 * 8, 14)) ** 3), offset=-6, escape=True)
    whole = *shape, 5
    for spread in (0.5, 3, 9000):
        values = np.rint(rng.laplace(0, spread, whole)).astype(np.int32)
        one, other = ReferenceEncoder(), NativeEncoder()
        encode_squares.reference(one, values, tables)
        encode_squares.native(other, values, tables)
        section = other.finish()
        assert section == one.finish()
        for data in (section, section[1:], rng.bytes(60)):
            read = outcome(decode_squares.reference, ReferenceDecoder(data), whole, tables)
            assert outcome(decode_squares.native, NativeDecoder(data), whole, tables) == read
            assert data is not section or read == values.tolist()
