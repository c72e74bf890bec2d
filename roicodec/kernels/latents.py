"""A coding step of the latents without its network: tables and quantizer steps, values, and the
encoder's choice of symbols by rate and distortion.

In each of four steps, a position codes every fourth of its channels, from one on that its phase in
a 2x2 square chooses (``docs/format.md``, section "Latents").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = [
    "LatentModel",
    "LatentStep",
    "add_bits",
    "choose_symbols",
    "latent_model",
    "latent_values",
]

_STEPS = 4
_PHASES = np.array([[0, 2], [3, 1]])
_SYMBOL_SHIFT = 4
"""Quantizer steps count in sixteenths of a latent's unit."""
_SYMBOL_BITS = 8
"""Sums of magnitudes count in ``2**-8``."""
_LARGEST = 2
"""Larger magnitudes count as this."""

Ints = NDArray[np.int32]
Places = NDArray[np.int64]
Words = NDArray[np.int16]
Floats = NDArray[np.float64]


class LatentStep(NamedTuple):
    """What a step codes, as the network says it: the arguments of :data:`latent_model`."""

    named: Ints
    positions: Places
    width: int
    step: int
    level: NDArray[np.uint8]
    own: Ints
    stand_ins: Ints

    def check(self) -> None:
        """Check before native code uses it.

        Raises:
            ValueError: if shapes do not fit, or positions or levels are none.
        """
        channels = len(self.stand_ins)
        shape = len(self.positions), channels // _STEPS
        if self.named.shape != shape or self.own.shape[1] != channels:
            raise ValueError(
                f"indices {self.named.shape}, steps {self.own.shape} of {channels} channels"
            )
        places = self.positions
        if len(places) and not 0 <= places.min() <= places.max() < len(self.level):
            raise ValueError(f"positions beyond {len(self.level)}")
        if self.level.max(initial=0) >= len(self.own):
            raise ValueError(f"level {self.level.max()} of {len(self.own)}")


class LatentModel(NamedTuple):
    """Model of the latents that a step codes, one after another in coding order.

    Attributes:
        pairs: positions in the flattened latents ``[H * W * C]``, int64 ``[N]``.
        tables: their numbers, int32 ``[N]``: stand-ins for those that the network names.
        steps: quantizer steps, int32 ``[N]``.
        place: channel times the number of tables, plus the one that the network names, int64
            ``[N]``.
    """

    pairs: Places
    tables: Ints
    steps: Ints
    place: Places


# --- reference ----------------------------------------------------------------------------------


def _latent_model(
    named: Ints, positions: Places, width: int, step: int, level: NDArray[np.uint8], own: Ints,
    stand_ins: Ints,
) -> LatentModel:  # fmt: skip
    channels, tables = stand_ins.shape
    row, column = np.divmod(positions, width)
    first = (step - _PHASES[row % 2, column % 2]) % _STEPS
    channel = first[:, None] + np.arange(0, channels, _STEPS)
    place = (channel * tables + np.clip(named, 0, tables - 1)).ravel()
    pairs = (positions[:, None] * channels + channel).ravel()
    steps = own[level[positions, None], channel].ravel()
    return LatentModel(pairs, stand_ins.take(place), steps, place)


def _latent_values(
    symbols: Ints, mean: Words, model: LatentModel, expected: Places, latents: Words
) -> tuple[Places, Places]:
    some = np.flatnonzero(symbols != 0)
    product = symbols[some].astype(np.int64) * model.steps[some]
    rounded = (product + (1 << (_SYMBOL_SHIFT - 1))) >> _SYMBOL_SHIFT
    values = mean.copy()
    values[some] = np.clip(mean[some] + rounded, -32768, 32767)
    latents.ravel()[model.pairs] = values
    channels, tables = latents.shape[1], len(expected)
    magnitude = np.minimum(np.abs(symbols[some].astype(np.int64)), _LARGEST)
    coded = np.bincount(model.place[some] // tables, magnitude, channels)
    used = np.bincount(model.place, minlength=channels * tables).reshape(channels, tables)
    return coded.astype(np.int64) << _SYMBOL_BITS, used @ expected


def _choose_symbols(
    target: NDArray[np.float32], mean: Words, model: LatentModel, bits: Floats, low: int, high: int,
    lambda_: float,
) -> Ints:  # fmt: skip
    residual = (target[model.pairs] - mean) / (model.steps * (1 / 16))
    nearest = np.rint(residual).astype(np.int32)
    nearest[model.tables == 0] = 0
    if not lambda_:
        return nearest
    maybe = np.flatnonzero(nearest != 0)
    k, r = nearest[maybe], residual[maybe]
    options = np.stack((k, k - np.sign(k), np.zeros_like(k)))
    column = np.clip(options, low, high) - low
    j = (r - options) ** 2 + lambda_ * bits[model.tables[maybe], column]
    best = options[j.argmin(0), np.arange(len(k))]
    # Beyond the alphabet nothing is known of the cost of one step less.
    nearest[maybe] = np.where(abs(k) >= high, k, best)
    return nearest


def _add_bits(
    symbols: Ints, model: LatentModel, channels: int, bits: Floats, low: int, high: int,
    rows: Floats,
) -> None:  # fmt: skip
    column = np.where((symbols < low) | (symbols > high), high + 1, symbols)
    own = np.where(model.tables, bits[model.tables, column - low], 0)
    np.add.at(rows, model.pairs // channels, own)


# --- native -------------------------------------------------------------------------------------


def _native_latent_model(
    named: Ints, positions: Places, width: int, step: int, level: NDArray[np.uint8], own: Ints,
    stand_ins: Ints,
) -> LatentModel:  # fmt: skip
    LatentStep(named, positions, width, step, level, own, stand_ins).check()
    channels, tables = stand_ins.shape
    named, own = np.ascontiguousarray(named), np.ascontiguousarray(own)
    count = named.size
    pairs, place = np.empty(count, np.int64), np.empty(count, np.int64)
    index, steps = np.empty(count, np.int32), np.empty(count, np.int32)
    function("rq_latent_model", "ppllli" + "ppplpppp")(
        address(named, np.int32), address(positions, np.int64), len(positions), width, channels,
        step, address(level, np.uint8), address(own, np.int32), address(stand_ins, np.int32),
        tables, address(pairs, np.int64), address(index, np.int32), address(steps, np.int32),
        address(place, np.int64),
    )  # fmt: skip
    return LatentModel(pairs, index, steps, place)


def _native_latent_values(
    symbols: Ints, mean: Words, model: LatentModel, expected: Places, latents: Words
) -> tuple[Places, Places]:
    mean, symbols = np.ascontiguousarray(mean), np.ascontiguousarray(symbols)
    _alike(model, symbols, mean)
    channels, tables = latents.shape[1], len(expected)
    coded, expectation = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    done = function("rq_latent_values", "ppppplpllppp", "i")(
        address(symbols, np.int32), address(mean, np.int16), address(model.steps, np.int32),
        address(model.pairs, np.int64), address(model.place, np.int64), len(symbols),
        address(expected, np.int64), tables, channels, address(latents, np.int16, writable=True),
        address(coded, np.int64), address(expectation, np.int64),
    )  # fmt: skip
    if done:
        raise MemoryError("no memory for the sums of latents")
    return coded, expectation


def _native_choose_symbols(
    target: NDArray[np.float32], mean: Words, model: LatentModel, bits: Floats, low: int, high: int,
    lambda_: float,
) -> Ints:  # fmt: skip
    mean, target = np.ascontiguousarray(mean), np.ascontiguousarray(target)
    _alike(model, mean)
    _within(bits, low, high)
    symbols = np.empty(len(mean), np.int32)
    function("rq_choose_symbols", "ppppplpliidp")(
        address(target, np.float32), address(model.pairs, np.int64), address(mean, np.int16),
        address(model.steps, np.int32), address(model.tables, np.int32), len(mean),
        address(bits, np.float64), bits.shape[1], low, high, lambda_, address(symbols, np.int32),
    )  # fmt: skip
    return symbols


def _native_add_bits(
    symbols: Ints, model: LatentModel, channels: int, bits: Floats, low: int, high: int,
    rows: Floats,
) -> None:  # fmt: skip
    symbols = np.ascontiguousarray(symbols)
    _alike(model, symbols)
    _within(bits, low, high)
    function("rq_add_bits", "pppllpliip")(
        address(symbols, np.int32), address(model.tables, np.int32), address(model.pairs, np.int64),
        len(symbols), channels, address(bits, np.float64), bits.shape[1], low, high,
        address(rows, np.float64, writable=True),
    )  # fmt: skip


def _alike(model: LatentModel, *arrays: NDArray[np.generic]) -> None:
    if any(a.shape != model.pairs.shape for a in arrays):
        raise ValueError(f"arrays {[a.shape for a in arrays]} of {len(model.pairs)} latents")


def _within(bits: Floats, low: int, high: int) -> None:
    if low > 0 or high < 0 or bits.shape[1] < high - low + 2:
        raise ValueError(f"{bits.shape[1]} columns of the symbols {low}..{high}")


# --- operations ---------------------------------------------------------------------------------

_PROBE_SHAPE = 6, 10
_LOW, _HIGH = -6, 6


def _probe_arguments(step: int) -> tuple[Ints, Places, int, int, NDArray[np.uint8], Ints, Ints]:
    height, width = _PROBE_SHAPE
    positions = np.flatnonzero(np.arange(height * width) % 7 != 3)
    named = (np.arange(len(positions) * 6).reshape(-1, 6) * 37 % 11 - 2).astype(np.int32)
    own = (np.arange(72).reshape(3, 24) * 29 % 400 + 3).astype(np.int32)
    stand_ins = (np.arange(24)[:, None] * np.arange(9) % 9).astype(np.int32)
    level = (np.arange(height * width) % 5 // 2).astype(np.uint8)
    return named, positions, width, step, level, own, stand_ins


def _probe_model(form: Callable[..., LatentModel]) -> Arrays:
    for step in range(_STEPS):
        yield from form(*_probe_arguments(step))


def _probe_symbols(model: LatentModel) -> tuple[Ints, Words]:
    number = np.arange(len(model.pairs))
    symbols = number * 7919 % 9 // 2 * (-1) ** number
    symbols[::13] = number[::13] * 311 - 40000
    return symbols.astype(np.int32), (number * 613 % 65536 - 32768).astype(np.int16)


def _probe_bits() -> Floats:
    """Bits of 9 tables; multiples of an eighth, which every machine adds alike."""
    return ((np.arange(9)[:, None] + 2) * np.abs(np.arange(_LOW, _HIGH + 2)) + 3) / 8


def _probe_values(form: Callable[..., tuple[Places, Places]]) -> Arrays:
    latents = np.zeros((_PROBE_SHAPE[0] * _PROBE_SHAPE[1], 24), np.int16)
    for step in range(_STEPS):
        model = _latent_model(*_probe_arguments(step))
        yield from form(*_probe_symbols(model), model, np.arange(9) * 77, latents)
    yield latents


def _probe_choose(form: Callable[..., Ints]) -> Arrays:
    model = _latent_model(*_probe_arguments(1))
    _, mean = _probe_symbols(model)
    target = (np.arange(_PROBE_SHAPE[0] * _PROBE_SHAPE[1] * 24) * 173 % 8192 - 4096) / 16
    mean >>= 7
    for lambda_ in (0.0, 0.125):
        yield form(target.astype(np.float32), mean, model, _probe_bits(), _LOW, _HIGH, lambda_)


def _probe_add_bits(form: Callable[..., None]) -> Arrays:
    model = _latent_model(*_probe_arguments(2))
    symbols, _ = _probe_symbols(model)
    rows = np.zeros(_PROBE_SHAPE[0] * _PROBE_SHAPE[1])
    form(symbols, model, 24, _probe_bits(), _LOW, _HIGH, rows)
    yield rows * 8


latent_model = Operation(
    "latent model",
    _latent_model,
    _native_latent_model,
    _probe_model,
    0x40034145,
)
"""Model of the latents that a step codes.

Args:
    named: table numbers that the network names, int32 ``[P, C / 4]``; clipped to those there are.
    positions: raster positions that are computed, int64 ``[P]``.
    width: positions of a line.
    step: 0..3.
    level: of each position, uint8 ``[H * W]``.
    own: quantizer steps of each level, int32 ``[L, C]``.
    stand_ins: table that stands in for each in a channel, int32 ``[C, T]``.
"""

latent_values = Operation(
    "latent values",
    _latent_values,
    _native_latent_values,
    _probe_values,
    0x295BD592,
)
"""Values of a step's latents, put in their places: ``clamp(mean + symbol * step)``, the product
rounded half up.

Args:
    symbols: int32 ``[N]``.
    mean: int16 ``[N]``.
    model: of the step.
    expected: mean magnitude under each table in ``2**-8``, int64 ``[T]``.
    latents: int16 ``[H * W, C]``, changed.

Returns:
    sums in each channel of coded magnitudes and of those that the tables expect, in ``2**-8``,
    int64 ``[C]`` each.
"""

choose_symbols = Operation(
    "choice of symbols",
    _choose_symbols,
    _native_choose_symbols,
    _probe_choose,
    0x74BAA07C,
)
"""Symbols k that minimize ``(r - k)**2 + lambda * bits(k)`` for the residual r in quantizer steps,
among the nearest to r, the next towards zero, and zero; int32 ``[N]``.

Args:
    target: latents before quantization, float32 ``[H * W * C]``.
    mean: int16 ``[N]``.
    model: of the step; what has table 0 is 0.
    bits: of every symbol from ``low`` to ``high``, then of an escape, float64 ``[T, S]``.
    low, high: ends of the alphabet, beyond which the nearest symbol is taken.
    lambda_: squared steps that a bit is worth; 0 takes the nearest everywhere.
"""

add_bits = Operation(
    "bits of symbols",
    _add_bits,
    _native_add_bits,
    _probe_add_bits,
    0xF0521EA7,
)
"""Sums of bits by position, to which those of a step's symbols are added; of an escape, those of
its table alone.

Args:
    symbols: int32 ``[N]``.
    model: of the step; what has table 0 costs nothing.
    channels: latents of a position.
    bits, low, high: as for :data:`choose_symbols`.
    rows: bits of each position, float64 ``[H * W]``, changed.
"""
