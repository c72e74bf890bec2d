"""Derivatives of blocks: native against reference, and marks of open ReLUs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.kernels import integer
from roicodec.kernels.back_projection import (
    back_projected,
    latent_steps,
    marks,
    probe_chain,
    pull_rows,
)
from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Pointwise, Quantize
from roicodec.kernels.matrix import Field, PackedBlock, run_block
from tests.kernels.operations import agree


def words(rng: np.random.Generator, *shape: int, span: int = 32767) -> NDArray[np.int16]:
    return rng.integers(-span, span + 1, shape).astype(np.int16)


@pytest.mark.parametrize(("channels", "inside"), [(8, 8), (40, 80), (72, 136), (128, 256)])
@pytest.mark.parametrize(
    ("height", "width", "count"), [(1, 1, 1), (3, 5, 15), (9, 13, 60), (4, 4, 0)]
)
def test_derivative(
    instructions: str, channels: int, inside: int, height: int, width: int, count: int
) -> None:
    rng = np.random.default_rng((channels, height))
    chain = probe_chain(channels, inside, 24, 2)
    order = rng.permutation(height * width)[:count]
    active = [rng.integers(0, 256, (count, (2 * channels + inside) // 8), np.uint8) for _ in (0, 1)]
    for span in (300, 32767):
        rows = words(rng, count, channels, span=span)
        agree(back_projected, chain, rows, active, order, (height, width))


def test_closed_units_let_nothing_through(instructions: str) -> None:
    rng = np.random.default_rng(1)
    chain, rows = probe_chain(16, 24, 16, 2), words(rng, 6, 16, span=999)
    shut = [np.zeros((6, 7), np.uint8)] * 2
    alone = integer.pointwise(integer.quantize(rows, chain.quantize), chain.up)
    for form in (back_projected.reference, back_projected.native):
        np.testing.assert_array_equal(form(chain, rows, shut, np.arange(6), (2, 3)), alone)


@pytest.mark.parametrize("count", [0, 1, 37])
@pytest.mark.parametrize(("channels", "more"), [(1, 0), (96, 32), (17, 3)])
def test_rows_of_errors(instructions: str, count: int, channels: int, more: int) -> None:
    rng = np.random.default_rng((count, channels))
    order = rng.permutation(50)[:count]
    weight = rng.choice(np.array([0.5, 1, 3.7, 1e-6, 1e6], np.float32), channels)
    agree(pull_rows, words(rng, 50, channels), order, weight, more)


@pytest.mark.parametrize("count", [0, 1, 37])
def test_steps_of_latents(instructions: str, count: int) -> None:
    rng = np.random.default_rng(count)
    order = rng.permutation(50)[:count]
    gradient, latents = words(rng, count, 9), words(rng, 50, 9)
    target = rng.normal(0, 999, (50, 9)).astype(np.float32)
    scale = rng.normal(0, 1, (3, 9)).astype(np.float32)
    level = rng.integers(0, 3, count).astype(np.uint8)
    moves = agree(latent_steps, gradient, order, level, scale, latents, target, 0.25)
    assert not np.delete(moves, order, 0).any()


Forward = tuple[Quantize, Pointwise, Depthwise, Pointwise, Quantize, Pointwise, Pointwise]


def _forward(rng: np.random.Generator, bits: int, c: int, inside: int) -> Forward:
    """A block at a bit-width, in the forward direction."""
    signed, unsigned = Grid(bits, signed=True), Grid(bits, signed=False)
    meet = Grid(8, signed=False)
    wide = 0 if bits <= 8 else 8

    def layer(cout: int, cin: int, source: Grid, target: Grid, shift: int) -> Pointwise:
        weight, bias = rng.integers(-90, 91, (cout, cin)), rng.integers(-999, 999, cout)
        return Pointwise(weight, bias, np.full(cout, shift), source, target)

    quantize = Quantize(np.full(c, 6 - wide // 2), signed)
    spatial, zero = rng.integers(-90, 91, (c, 3, 3)), np.zeros(c, int)
    return (
        quantize,
        layer(c, c, signed, meet, 9 + wide),
        Depthwise(spatial, zero, np.full(c, 9 - wide), meet, unsigned),
        layer(c, c, unsigned, SKELETON, 6 + wide),
        quantize,
        layer(inside, c, signed, unsigned, 9),
        layer(c, inside, unsigned, SKELETON, 6 + wide),
    )


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_marks_are_the_codes_that_are_not_zero(instructions: str, bits: int) -> None:
    rng = np.random.default_rng(bits)
    c, inside, height, width = 40, 80, 5, 13
    layers = _forward(rng, bits, c, inside)
    first, mix_in, spatial, mix_out, second, expand, _ = layers
    order = rng.permutation(height * width)[:53]
    rows = words(rng, 53, c, span=4000)
    codes = np.zeros((height * width, c), np.int64)
    codes[order] = integer.pointwise(integer.quantize(rows, first), mix_in)
    around = integer.depthwise(codes.reshape(height, width, c), spatial).reshape(-1, c)[order]
    stream = integer.accumulate(rows, around, mix_out)
    hidden = integer.pointwise(integer.quantize(stream, second), expand)
    expected = marks(codes[order], around, hidden)
    share = np.unpackbits(expected).mean()
    assert 0.1 < share < 0.9
    active = np.empty_like(expected)
    field, places = Field(height, width, c), Field.places(order, width)
    part = [(PackedBlock.of(layers), slice(0, len(rows)))]
    run_block(part, rows.copy(), places, field, None, active)
    np.testing.assert_array_equal(active, expected)
    with pytest.raises(ValueError, match="marks of 160 channels"):
        run_block(part, rows.copy(), places, field, None, active[:, 1:].copy())


def test_what_does_not_fit_is_refused(instructions: str) -> None:
    chain, rows = probe_chain(16, 24, 16, 1), np.zeros((2, 16), np.int16)
    active, order = [np.zeros((2, 7), np.uint8)], np.arange(2)
    with pytest.raises(ValueError, match="marks"):
        back_projected.native(chain, rows, [active[0][:1]], order, (1, 2))
    with pytest.raises(IndexError, match="outside"):
        back_projected.native(chain, rows, active, order + 1, (1, 2))
    with pytest.raises(IndexError, match="outside of 2"):
        pull_rows.native(rows, np.array([2]), np.ones(16, np.float32), 0)
    with pytest.raises(ValueError, match="weights"):
        pull_rows.native(rows, order, np.ones(15, np.float32), 0)
    scale = np.ones((2, 16), np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        latent_steps.native(
            rows, order, np.zeros(1, np.uint8), scale, rows, np.zeros((2, 16), np.float32), 0.5
        )
    with pytest.raises(ValueError, match="level 2 of 2"):
        latent_steps.native(
            rows, order, np.full(2, 2, np.uint8), scale, rows, np.zeros((2, 16), np.float32), 0.5
        )
