"""Tasks on several threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from roicodec.kernels import tasks
from roicodec.kernels.tasks import Task
from roicodec.kernels.threads import set_threads, threads


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = threads()
    yield
    set_threads(before)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_tasks_run_after_what_they_need(number: int) -> None:
    set_threads(number)
    tasks: list[Task[int]] = []
    for n in range(200):
        before = [tasks[n - k] for k in (1, 7, 13) if k <= n and n % k]
        tasks.append(Task(lambda b=before: 1 + max((t.value for t in b), default=0), before))  # type: ignore[misc]
    depths: list[int] = []
    for n in range(200):
        own = [depths[n - k] for k in (1, 7, 13) if k <= n and n % k]
        depths.append(1 + max(own, default=0))
    assert [task.result() for task in tasks] == depths


def test_with_one_thread_the_caller_does_everything_by_rank() -> None:
    set_threads(1)
    seen: list[tuple[int, int]] = []
    tasks = [
        Task(lambda r=rank: seen.append((r, threading.get_ident())), rank=(rank,))  # type: ignore[misc]
        for rank in (3, 1, 2)
    ]
    assert not seen
    tasks[0].result()
    assert seen == [(rank, threading.get_ident()) for rank in (1, 2, 3)]


def test_two_threads_work_at_the_same_time() -> None:
    set_threads(2)
    met = threading.Barrier(2)
    tasks = [Task(lambda: met.wait(20)) for _ in range(2)]
    assert sorted(task.result() for task in tasks) == [0, 1]


def test_an_error_is_raised_where_the_result_is_asked_for() -> None:
    set_threads(2)

    def fail() -> int:
        raise ValueError("of the first")

    first = Task(fail)
    second = Task(lambda: first.value + 1, [first])
    other = Task(lambda: 5)
    assert other.result() == 5
    for task in first, second:
        with pytest.raises(ValueError, match="of the first"):
            task.result()


def test_a_cancelled_task_does_not_begin_and_nobody_waits_for_it() -> None:
    set_threads(1)
    ran: list[str] = []
    first = Task(lambda: ran.append("first"))
    second = Task(lambda: ran.append("second"), [first])
    third = Task(lambda: second.value, [second])
    second.cancel()
    with pytest.raises(RuntimeError, match="cancelled"):
        third.result()
    assert ran in ([], ["first"])
    first.result()
    first.cancel()
    assert ran == ["first"]


def test_a_task_that_is_cancelled_once_it_was_chosen_does_not_run() -> None:
    """A thread takes a task and is overtaken by who cancels it, before the task begins."""
    set_threads(1)  # nothing begins by itself
    ran: list[int] = []
    task = Task(lambda: ran.append(1))
    chosen = tasks._pool._next(Task(lambda: None, [task]))
    task.cancel()
    assert chosen is task
    chosen.start()
    assert not ran
    assert task.done


def test_a_signal_ends_the_wait_and_not_the_other_tasks() -> None:
    set_threads(1)

    def interrupt() -> None:
        raise KeyboardInterrupt

    first = Task(interrupt)
    second = Task(lambda: 7)
    with pytest.raises(KeyboardInterrupt):
        second.result()
    assert second.result() == 7
    assert first.done


def test_a_forked_child_has_threads_of_its_own() -> None:
    set_threads(2)
    Task(lambda: 1).result()
    child = os.fork()
    if not child:
        status = 1
        try:
            met = threading.Barrier(2)
            tasks = [Task(lambda: met.wait(20)) for _ in range(2)]
            status = sorted(task.result() for task in tasks) != [0, 1]
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
