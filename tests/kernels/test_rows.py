"""Rows from frames and frames from rows: native against reference."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.kernels.rows import finish_rows, gather_rows, mix_rows, put_distribution
from tests.kernels.operations import agree


def words(rng: np.random.Generator, *shape: int) -> NDArray[np.int16]:
    return rng.integers(-32768, 32768, shape).astype(np.int16)


@pytest.mark.parametrize("count", [0, 1, 17, 40])
@pytest.mark.parametrize("channels", [(1, 1), (96, 32), (33, 0), (64, 7)])
def test_rows_and_frames(instructions: str, count: int, channels: tuple[int, int]) -> None:
    rng = np.random.default_rng((count, *channels))
    a, b = channels
    order = rng.permutation(40)[:count]
    first, second = words(rng, 40, a), words(rng, 40, b)
    for centre, shift in ((128, 4), (0, 0), (-7, 9)):
        agree(gather_rows, first, centre, shift, second, order)
    rows = words(rng, count, a + b)
    for shift in (1, 4):
        frames = [(first & 255, second.copy()) for _ in range(2)]
        for finish, own in zip((finish_rows.reference, finish_rows.native), frames, strict=True):
            finish(rows, order, shift, *own)
        for one, two in zip(*frames, strict=True):
            np.testing.assert_array_equal(one, two)
        alone = first & 255
        finish_rows.native(rows, order, shift, alone, None)
        np.testing.assert_array_equal(alone, frames[0][0])


@pytest.mark.parametrize("channels", [1, 24, 33])
def test_distribution(instructions: str, channels: int) -> None:
    rng = np.random.default_rng(channels)
    places = rng.permutation(50)[:31]
    values = words(rng, 31, 2 * channels)
    quality = words(rng, 4 * channels).astype(np.int32)[::4]
    results = []
    for put in (put_distribution.reference, put_distribution.native):
        mean, index = np.zeros((50, channels), np.int16), np.zeros((50, channels), np.int32)
        put(values, quality, 4, places, mean, index)
        results.append((mean, index))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_does_not_fit_is_refused(instructions: str) -> None:
    frame, rows = np.zeros((4, 8), np.int16), np.zeros((2, 12), np.int16)
    with pytest.raises(IndexError, match="outside of 4"):
        gather_rows.native(frame, 0, 0, frame, np.array([4]))
    with pytest.raises(IndexError, match="outside of 4"):
        finish_rows.native(rows, np.array([0, -1]), 4, frame, None)
    with pytest.raises(ValueError, match="for 3 positions"):
        finish_rows.native(rows, np.array([0, 1, 2]), 4, frame, None)
    with pytest.raises(ValueError, match="for 2 places"):
        put_distribution.native(
            rows, np.zeros(5, np.int32), 4, np.array([0, 1]), frame, frame.astype(np.int32)
        )


@pytest.mark.parametrize("channels", [1, 32, 96])
@pytest.mark.parametrize("count", [0, 1, 3000])
def test_mixed_rows(instructions: str, channels: int, count: int) -> None:
    rng = np.random.default_rng((channels, count))
    rows, others = words(rng, count, channels), words(rng, count, channels)
    choice = rng.integers(0, 3, count).astype(np.uint8)
    mixed = [rows.copy() for _ in range(2)]
    for form, own in zip((mix_rows.reference, mix_rows.native), mixed, strict=True):
        form(own, others, choice)
    np.testing.assert_array_equal(mixed[1], mixed[0])
    np.testing.assert_array_equal(mixed[0][choice == 0], rows[choice == 0])
    with pytest.raises(ValueError, match="choices"):
        mix_rows.native(rows, others, choice[:-1] if count else np.zeros(1, np.uint8))
