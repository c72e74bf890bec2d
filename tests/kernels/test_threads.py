"""Bands of rows on several threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from roicodec.kernels.threads import in_bands, set_threads, threads


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = threads()
    yield
    set_threads(before)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("rows", [0, 1, 15, 160, 1000, 4097])
def test_every_row_once(number: int, rows: int) -> None:
    set_threads(number)
    done = [0] * rows

    def work(begin: int, end: int) -> None:
        for row in range(begin, end):
            done[row] += 1

    in_bands(rows, work, least=16)
    assert done == [1] * rows


def test_one_thread_is_the_callers_alone() -> None:
    set_threads(1)
    seen: set[int] = set()
    in_bands(1000, lambda *_: seen.add(threading.get_ident()), least=1)
    assert seen == {threading.get_ident()}


def test_two_threads_work_at_the_same_time() -> None:
    set_threads(2)
    met = threading.Barrier(2)

    def work(begin: int, end: int) -> None:
        met.wait(10)  # for the other band

    in_bands(64, work, least=32)
    assert not met.broken


def test_calls_at_the_same_time_and_within_one_another() -> None:
    set_threads(2)
    total = [0, 0]

    def outer(which: int) -> None:
        def work(begin: int, end: int) -> None:
            in_bands(end - begin, lambda a, b: time.sleep(0), least=8)
            total[which] += end - begin

        for _ in range(20):
            in_bands(256, work, least=256)

    callers = [threading.Thread(target=outer, args=(which,)) for which in (0, 1)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert total == [20 * 256] * 2


def test_an_error_of_a_band_is_the_callers() -> None:
    set_threads(2)

    def work(begin: int, end: int) -> None:
        if begin:
            raise MemoryError("none left")

    with pytest.raises(MemoryError, match="none left"):
        in_bands(1000, work, least=16)
    in_bands(1000, lambda *_: None, least=16)


def test_a_forked_child_has_threads_of_its_own() -> None:
    set_threads(2)
    in_bands(1000, lambda *_: None, least=16)
    child = os.fork()
    if not child:
        status = 1
        try:
            in_bands(1000, lambda *_: time.sleep(0.001), least=16)
            status = threads() != 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
