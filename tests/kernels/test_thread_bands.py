"""What several threads compute in bands is what one computes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.encoder.motion.match import interpolate
from roicodec.kernels.compensation import compensate, compensate_features
from roicodec.kernels.latents import latent_model, latent_values
from roicodec.kernels.packing import pack, unpack
from roicodec.kernels.post_filter import ACTIVITIES, ALL_ON, DIRECTIONS, filter_plane, filter_table
from roicodec.kernels.rows import finish_rows, gather_rows
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


def test_rows_planes_and_latents() -> None:
    rng = np.random.default_rng(4)
    rows = rng.integers(0, 256, (60 * 90, 96)).astype(np.int16)
    features = rng.integers(-999, 999, (60 * 90, 32)).astype(np.int16)
    vectors = rng.integers(-90, 90, (60, 90, 2)).astype(np.int16)
    positions = np.flatnonzero(rng.random(60 * 90) < 0.7)
    level = rng.integers(0, 3, 60 * 90).astype(np.uint8)
    own = rng.integers(1, 400, (3, 96)).astype(np.int32)
    stand_ins = rng.integers(0, 40, (96, 40)).astype(np.int32)
    named = rng.integers(-2, 44, (len(positions), 24)).astype(np.int32)
    symbols = rng.integers(-4, 5, named.size).astype(np.int32)
    mean = rng.integers(-99, 99, named.size).astype(np.int16)

    def run() -> list[NDArray[np.generic]]:
        planes = unpack(rows, 720, 480)
        gathered = gather_rows(rows, 128, 4, features, positions)
        samples, kept = rows.copy(), features.copy()
        finish_rows(gathered, positions, 4, samples, kept)
        model = latent_model(named, positions, 90, 1, level, own, stand_ins)
        latents = np.zeros((60 * 90, 96), np.int16)
        sums = latent_values(symbols, mean, model, np.arange(40) * 7, latents)
        fetched = compensate_features(features, vectors)
        packed = pack(planes)
        return [*planes, packed, gathered, samples, kept, *model, latents, *sums, fetched,
                interpolate(planes[0])]  # fmt: skip

    _same_on_all(run)


def _same_on_all(run: Callable[[], list[NDArray[np.generic]]]) -> None:
    set_threads(1)
    expected = run()
    for number in (2, 5):
        set_threads(number)
        for one, several in zip(expected, run(), strict=True):
            assert np.array_equal(one, several)


def _predict() -> list[NDArray[np.generic]]:
    rng = np.random.default_rng(2)
    planes = [rng.integers(0, 256, size, np.uint8) for size in ((320, 64), (160, 32), (160, 32))]
    vectors = rng.integers(-90, 90, (40, 8, 2)).astype(np.int16)
    return [compensate((planes[0], planes[1], planes[2]), vectors)]


def test_calls_at_the_same_time() -> None:
    set_threads(3)
    [expected] = _predict()
    found: list[bool] = []

    def work() -> None:
        for _ in range(50):
            found.append(np.array_equal(_predict()[0], expected))

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert found == [True] * 200


_COUNT = """
import os
from roicodec.kernels.threads import occupied, set_threads
from tests.kernels.test_thread_bands import _predict
found = []
for number, occupants in ((1, 0), (2, 2), (2, 1)):
    set_threads(number)
    with occupied(), occupied():
        _predict()
    if occupants < 2:
        _predict()
    found.append(len(os.listdir("/proc/self/task")))
print(*found)
"""


def test_helpers_are_started_only_where_a_thread_is_free() -> None:
    alone = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    done = subprocess.run(
        [sys.executable, "-c", _COUNT], env=os.environ | alone, capture_output=True, text=True
    )
    assert done.stdout.split() == ["1", "1", "2"], done.stderr


def test_a_forked_child_has_helpers_of_its_own() -> None:
    set_threads(2)
    [expected] = _predict()
    child = os.fork()
    if not child:
        status = 1
        try:
            status = not np.array_equal(_predict()[0], expected)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
