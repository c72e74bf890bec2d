"""Reader of a frame's latents: of every coding step the symbols, and at once what they make."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import PRECISION, SymbolDecoder, Tables
from roicodec.bitstream.range_coder import NativeDecoder, RangeDecoder, check, range_decoder
from roicodec.decoder.coding_step import CodingStep
from roicodec.kernels.latents import LatentStep, latent_model, latent_values
from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = ["LatentReader", "read_latents"]

Sums = tuple[NDArray[np.int64], NDArray[np.int64]]
Words = NDArray[np.int16]


class LatentReader:
    """Reader of the latents, step by step.

    Args:
        decoder: the run, past the hyper-latents.
        tables: of the latents.
    """

    def __init__(self, decoder: SymbolDecoder, tables: Tables) -> None:
        self._decoder = decoder
        self._tables = tables

    def __call__(self, step: CodingStep, latents: Words) -> Sums:
        return read_latents(
            self._decoder.coder, self._tables, step.latents, step.mean, step.expected, latents
        )


# --- both forms ---------------------------------------------------------------------------------


def _read(
    decoder: RangeDecoder, tables: Tables, step: LatentStep, mean: Words,
    expected: NDArray[np.int64], latents: Words,
) -> Sums:  # fmt: skip
    """Latents of a coding step, read and put in their places.

    Args:
        decoder: of the section.
        tables: of the latents.
        step: which latents, and the tables that the network names.
        mean: int16 ``[N]``.
        expected: mean magnitude under each table in ``2**-8``, int64 ``[T]``.
        latents: int16 ``[H * W, C]``, changed.

    Returns:
        sums in each channel as of :data:`~roicodec.kernels.latents.latent_values`.

    Raises:
        StreamError: if the section is damaged; the latents are undefined then.
    """
    model = latent_model.reference(*step)
    symbols = decoder.get(tables, model.tables)
    return latent_values.reference(symbols, mean, model, expected, latents)


def _native_read(
    decoder: RangeDecoder, tables: Tables, step: LatentStep, mean: Words,
    expected: NDArray[np.int64], latents: Words,
) -> Sums:  # fmt: skip
    if not isinstance(decoder, NativeDecoder):
        model = latent_model(*step)
        return latent_values(decoder.get(tables, model.tables), mean, model, expected, latents)
    step.check()
    channels, count = step.stand_ins.shape
    if not len(tables) == len(expected) == count or mean.shape != (step.named.size,):
        raise ValueError(f"means {mean.shape}, {len(tables)} tables of {count}")
    if not 0 <= step.stand_ins.min() <= step.stand_ins.max() < count:
        raise IndexError("number of a table that there is not")
    if latents.shape != (len(step.level), channels):
        raise ValueError(f"latents {latents.shape} for {len(step.level)} positions")
    coded, expectation = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    named, mean = np.ascontiguousarray(step.named), np.ascontiguousarray(mean)
    own, level = np.ascontiguousarray(step.own), np.ascontiguousarray(step.level)
    check(
        function("rq_read_latents", "ppppplllippp" + "pppp", "i")(
            decoder.state, address(tables.laid_out, np.int64), address(named, np.int32),
            address(mean, np.int16), address(step.positions, np.int64), len(step.positions),
            step.width, channels, step.step, address(level, np.uint8), address(own, np.int32),
            address(step.stand_ins, np.int32), address(expected, np.int64),
            address(latents, np.int16, writable=True), address(coded, np.int64),
            address(expectation, np.int64),
        )
    )  # fmt: skip
    return coded, expectation


def _probe(form: Callable[..., Sums]) -> Arrays:
    """Steps of 8 channels and 5 tables, one of them certain, with escapes."""
    rows = 1 + np.arange(5)[:, None] * np.arange(1, 10) % 23
    rows[:, 4] += (1 << PRECISION) - rows.sum(1)
    rows[2] = 0
    rows[2, 5] = 1 << PRECISION
    tables = Tables(rows, offset=-4, escape=True)
    decoder = range_decoder((np.arange(400) ** 3 % 251).astype(np.uint8).tobytes())
    positions = np.flatnonzero(np.arange(60) % 7 != 3)
    latents = np.zeros((60, 8), np.int16)
    own = (np.arange(16).reshape(2, 8) * 29 % 400 + 3).astype(np.int32)
    stand_ins = (np.arange(8)[:, None] * np.arange(1, 6) % 5).astype(np.int32)
    level = (np.arange(60) % 5 // 3).astype(np.uint8)
    for number in range(4):
        named = (np.arange(2 * len(positions)).reshape(-1, 2) * 37 % 9 - 2).astype(np.int32)
        mean = (np.arange(named.size) * 613 % 65536 - 32768).astype(np.int16)
        step = LatentStep(named, positions, 10, number, level, own, stand_ins)
        yield from form(decoder, tables, step, mean, np.arange(5) * 77, latents)
    yield latents


read_latents = Operation("latent reading", _read, _native_read, _probe, 0xB4B59EE1)
