"""Planes filtered and predicted by several threads are those of one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from roicodec.kernels.compensation import compensate
from roicodec.kernels.post_filter import ACTIVITIES, ALL_ON, DIRECTIONS, filter_plane, filter_table
from roicodec.kernels.threads import set_threads, threads


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = threads()
    yield
    set_threads(before)


def test_compensation() -> None:
    rng = np.random.default_rng(2)
    planes = [rng.integers(0, 256, size, np.uint8) for size in ((320, 64), (160, 32), (160, 32))]
    vectors = rng.integers(-90, 90, (40, 8, 2)).astype(np.int16)
    found = []
    for number in (1, 2, 5):
        set_threads(number)
        found.append(compensate((planes[0], planes[1], planes[2]), vectors))
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


def test_post_filter() -> None:
    rng = np.random.default_rng(3)
    plane = rng.integers(0, 256, (388, 44), np.uint8)
    table = filter_table(rng.integers(-200, 200, (ACTIVITIES, DIRECTIONS, 24)).astype(np.int32))
    levels = np.arange(200, 200 + 900 * (ACTIVITIES - 1), 900, dtype=np.int32)
    bounds = np.full(ACTIVITIES, 9, np.int32)
    found = []
    for number in (1, 2, 5):
        set_threads(number)
        found.append(filter_plane(plane, table, levels, bounds, ALL_ON))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert np.array_equal(one, two)
    assert (found[0][0] != plane).any()
