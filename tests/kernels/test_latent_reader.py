"""Reading of a coding step: native against reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.bitstream.entropy import Tables
from roicodec.bitstream.range_coder import (
    NativeDecoder,
    NativeEncoder,
    RangeDecoder,
    ReferenceDecoder,
)
from roicodec.bitstream.tables import PRECISION, integer_frequencies
from roicodec.decoder.latent_reader import read_latents
from roicodec.errors import StreamError
from roicodec.kernels import native
from roicodec.kernels.latents import LatentStep, latent_model
from roicodec.kernels.threads import set_threads, threads

pytestmark = pytest.mark.skipif(native.library() is None, reason=native.reason())

CHANNELS, TABLES, SHAPE = 96, 20, (50, 90)


def some_tables(rng: np.random.Generator, *, escape: bool) -> Tables:
    """Flat and steep rows; 0 and 7 admit one symbol only, 9 nothing but escapes."""
    rows = integer_frequencies(rng.random((TABLES, 12)) ** 6)
    for number, column in ((0, 5), (7, 9), (9, 11)):
        rows[number] = 0
        rows[number, column] = 1 << PRECISION
    return Tables(rows, offset=-5, escape=escape)


def some_step(rng: np.random.Generator, number: int, share: float) -> LatentStep:
    count = SHAPE[0] * SHAPE[1]
    positions = np.flatnonzero(rng.random(count) < share)
    return LatentStep(
        rng.integers(-4, TABLES + 4, (len(positions), CHANNELS // 4)).astype(np.int32),
        positions,
        SHAPE[1],
        number,
        rng.integers(0, 3, count).astype(np.uint8),
        rng.integers(1, 4000, (3, CHANNELS)).astype(np.int32),
        rng.integers(0, TABLES, (CHANNELS, TABLES)).astype(np.int32),
    )


def written(rng: np.random.Generator, tables: Tables, step: LatentStep) -> bytes:
    """A section of one step, with far symbols if there are escapes."""
    index = latent_model(*step).tables
    symbols = np.zeros(len(index), np.int32)
    for table in range(TABLES):
        at = np.flatnonzero(index == table)
        used = np.flatnonzero(tables.frequencies[table]) + tables.offset
        symbols[at] = rng.choice(used, len(at))
    far = symbols > tables.high
    symbols[far] += rng.integers(0, 9000, far.sum()).astype(np.int32)
    encoder = NativeEncoder()
    encoder.put(tables, symbols, index)
    return encoder.finish()


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("share", [0, 0.001, 0.6, 1])
@pytest.mark.parametrize("escape", [False, True])
def test_steps_are_read(number: int, share: float, escape: bool) -> None:
    rng = np.random.default_rng([number, int(1000 * share), escape])
    tables, before = some_tables(rng, escape=escape), threads()
    set_threads(number)
    try:
        for n in range(2):
            step = some_step(rng, n + number % 2, share)
            mean = rng.integers(-32768, 32768, step.named.size).astype(np.int16)
            expected = rng.integers(0, 600, TABLES)
            section = written(rng, tables, step)
            found: list[tuple[NDArray[Any], ...]] = []
            latents = [np.full((SHAPE[0] * SHAPE[1], CHANNELS), 7, np.int16) for _ in range(2)]
            decoders: list[RangeDecoder] = [ReferenceDecoder(section), NativeDecoder(section)]
            forms = read_latents.reference, read_latents.native
            for form, decoder, own in zip(forms, decoders, latents, strict=True):
                sums = form(decoder, tables, step, mean, expected, own)
                found.append((*sums, decoder.get_uniform(3, 1000)))
            np.testing.assert_array_equal(latents[1], latents[0])
            for one, other in zip(*found, strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        set_threads(before)


def test_any_bytes_are_read_alike() -> None:
    rng = np.random.default_rng(3)
    tables, step = some_tables(rng, escape=True), some_step(rng, 0, 0.1)
    mean, expected = np.zeros(step.named.size, np.int16), np.zeros(TABLES, np.int64)
    for _ in range(12):
        data = rng.bytes(int(rng.integers(1, 300)))
        outcomes = []
        for form, kind in (
            (read_latents.reference, ReferenceDecoder),
            (read_latents.native, NativeDecoder),
        ):
            latents = np.zeros((SHAPE[0] * SHAPE[1], CHANNELS), np.int16)
            try:
                form(kind(data), tables, step, mean, expected, latents)
            except StreamError as error:
                outcomes.append(str(error))
            else:
                outcomes.append(str(latents.sum()))
        assert outcomes[0] == outcomes[1]


def test_arguments_are_checked() -> None:
    rng = np.random.default_rng(4)
    tables, step = some_tables(rng, escape=False), some_step(rng, 0, 0.1)
    mean, expected = np.zeros(step.named.size, np.int16), np.zeros(TABLES, np.int64)
    latents = np.zeros((SHAPE[0] * SHAPE[1], CHANNELS), np.int16)
    decoder = NativeDecoder(bytes(9))
    beyond = step._replace(level=step.level[:3])
    other = step._replace(stand_ins=step.stand_ins + 1)
    with pytest.raises(ValueError, match="means"):
        read_latents.native(decoder, tables, step, mean[1:], expected, latents)
    with pytest.raises(ValueError, match="latents"):
        read_latents.native(decoder, tables, step, mean, expected, latents[1:])
    with pytest.raises(ValueError, match="positions beyond"):
        read_latents.native(decoder, tables, beyond, mean, expected, latents)
    with pytest.raises(IndexError, match="table"):
        read_latents.native(decoder, tables, other, mean, expected, latents)
