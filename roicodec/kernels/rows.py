"""Rows of computed positions from frames in raster order, and frames from rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = ["KEEP", "MEAN", "OTHER", "finish_rows", "gather_rows", "mix_rows", "put_distribution"]

KEEP, MEAN, OTHER = range(3)
"""Choices of :data:`mix_rows`."""

Words = NDArray[np.int16]
Ints = NDArray[np.int32]
Places = NDArray[np.integer[Any]]
Marks = NDArray[np.uint8]


# --- reference ----------------------------------------------------------------------------------


def _gather(first: Words, centre: int, shift: int, second: Words, order: Places) -> Words:
    """Rows of some positions of two frames, side by side.

    Args:
        first: int16 ``[P, A]``.
        centre, shift: ``(first - centre) * 2**shift`` is taken, clamped to int16.
        second: int16 ``[P, B]``, taken as it is.
        order: positions, ``[N]``.

    Returns:
        int16 ``[N, A + B]``.
    """
    moved = (first[order].astype(np.int32) - centre) << shift
    moved = np.clip(moved, -32768, 32767).astype(np.int16)
    return np.concatenate((moved, second[order]), 1)


def _put_distribution(
    values: Words, quality: Ints, shift: int, places: Places, mean: Words, index: Ints
) -> None:
    """Output of a head, put in the order of positions.

    Args:
        values: means, then indices, int16 ``[N, 2 C]``.
        quality: what is added to the indices, int32 ``[C]``, within int16.
        shift: the sums are divided by ``2**shift`` and rounded half up; at least 1.
        places: rows of the results that are written, ``[N]``.
        mean, index: results, int16 and int32 ``[M, C]``.
    """
    channels = len(quality)
    mean[places] = values[:, :channels]
    index[places] = (values[:, channels:] + quality + (1 << (shift - 1))) >> shift


def _finish(rows: Words, order: Places, shift: int, samples: Words, features: Words | None) -> None:
    """Samples plus residuals, and features, set in place at some positions of frames.

    Args:
        rows: residuals in units of ``2**-shift``, then features, int16 ``[N, A + B]``.
        order: positions, ``[N]``.
        shift: sums are rounded half up; at least 1.
        samples: int16 ``[P, A]`` in 0..255.
        features: int16 ``[P, B]``; None for none.
    """
    count = samples.shape[1]
    sums = (samples[order].astype(np.int32) << shift) + rows[:, :count]
    samples[order] = np.clip((sums + (1 << (shift - 1))) >> shift, 0, 255)
    if features is not None:
        features[order] = rows[:, count:]


def _mix(rows: Words, others: Words, choice: Marks) -> None:
    """Rows mixed in place with others.

    Args:
        rows, others: int16 ``[N, C]``.
        choice: :data:`KEEP`, :data:`MEAN` (halves rounded up) or :data:`OTHER`, uint8 ``[N]``.
    """
    at = choice == MEAN
    rows[at] = (rows[at].astype(np.int32) + others[at] + 1) >> 1
    rows[choice == OTHER] = others[choice == OTHER]


# --- native -------------------------------------------------------------------------------------


def _gather_native(first: Words, centre: int, shift: int, second: Words, order: Places) -> Words:
    places = _places(order, min(len(first), len(second)))
    out = np.empty((len(order), first.shape[1] + second.shape[1]), np.int16)
    function("rq_gather_rows", "pliiplplp")(
        *(address(first, np.int16), first.shape[1], centre, shift),
        *(address(second, np.int16), second.shape[1]),
        *(address(places, np.int32), len(places), address(out, np.int16)),
    )
    return out


def _put_distribution_native(
    values: Words, quality: Ints, shift: int, places: Places, mean: Words, index: Ints
) -> None:
    channels = len(quality)
    shapes = {values.shape[1] - channels, mean.shape[1], index.shape[1]}
    if shapes != {channels} or len(values) != len(places):
        raise ValueError(f"values {values.shape} for {len(places)} places of {channels} channels")
    own = _places(places, min(len(mean), len(index)))
    offset = np.ascontiguousarray(quality, np.int32)
    function("rq_distribution", "plpiplpp")(
        *(address(values, np.int16), channels, address(offset, np.int32), shift),
        *(address(own, np.int32), len(own)),
        *(address(mean, np.int16, writable=True), address(index, np.int32, writable=True)),
    )


def _finish_native(
    rows: Words, order: Places, shift: int, samples: Words, features: Words | None
) -> None:
    a = samples.shape[1]
    b = rows.shape[1] - a
    if len(rows) != len(order) or (features is not None and features.shape != (len(samples), b)):
        raise ValueError(f"rows {rows.shape} for {len(order)} positions of {a} samples")
    own = _places(order, len(samples))
    function("rq_finish_rows", "pllplipp")(
        *(address(rows, np.int16), a, b, address(own, np.int32), len(own), shift),
        address(samples, np.int16, writable=True),
        None if features is None else address(features, np.int16, writable=True),
    )


def _mix_native(rows: Words, others: Words, choice: Marks) -> None:
    if rows.ndim != 2 or others.shape != rows.shape or choice.shape != rows.shape[:1]:
        raise ValueError(f"rows {rows.shape} and {others.shape}, choices {choice.shape}")
    function("rq_mix_rows", "pplpl")(
        address(rows, np.int16, writable=True), address(others, np.int16), rows.shape[1],
        address(np.ascontiguousarray(choice), np.uint8), len(rows),
    )  # fmt: skip


def _places(places: Places, size: int) -> Ints:
    if len(places) and (places.min() < 0 or places.max() >= size):
        raise IndexError(f"places outside of {size}")
    return np.ascontiguousarray(places, np.int32)


# --- the one in use -----------------------------------------------------------------------------


def _ramp(rows: int, columns: int, step: int) -> Words:
    """Integers all over int16."""
    values = np.arange(rows * columns, dtype=np.int64) * step
    return ((values + 32768) % 65536 - 32768).astype(np.int16).reshape(rows, columns)


_ORDER = np.array([4, 0, 2])


def _gather_probe(gather: Callable[..., Words]) -> Arrays:
    first, second = _ramp(5, 19, 7919), _ramp(5, 7, 3571)
    yield gather(first, 128, 4, second, _ORDER)


def _distribution_probe(put: Callable[..., None]) -> Arrays:
    mean, index = np.zeros((5, 19), np.int16), np.zeros((5, 19), np.int32)
    put(_ramp(3, 38, 7919), _ramp(1, 19, 3571)[0].astype(np.int32), 4, _ORDER, mean, index)
    yield from (mean, index)


def _finish_probe(finish: Callable[..., None]) -> Arrays:
    samples, features = _ramp(5, 19, 3571) & 255, np.zeros((5, 7), np.int16)
    finish(_ramp(3, 26, 1231), _ORDER, 4, samples, features)
    yield from (samples, features)


def _mix_probe(mix: Callable[..., None]) -> Arrays:
    rows = _ramp(5, 19, 7919)
    mix(rows, _ramp(5, 19, 3571), np.array([1, 0, 2, 1, 1], np.uint8))
    yield rows


gather_rows = Operation("gather rows", _gather, _gather_native, _gather_probe, 0x3F46FDA6)
put_distribution = Operation(
    "put distribution", _put_distribution, _put_distribution_native, _distribution_probe, 0x72702FB0
)
finish_rows = Operation("finish rows", _finish, _finish_native, _finish_probe, 0x6B54F324)
mix_rows = Operation("mix rows", _mix, _mix_native, _mix_probe, 0x960B68EC)
