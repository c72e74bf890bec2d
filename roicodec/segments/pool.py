"""Worker processes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from roicodec.errors import InputError
from roicodec.factory import CodecFactory
from roicodec.segments.worker import Job

__all__ = ["WorkerProcess", "channel_of", "ready", "worker_died"]

_SOURCES = Path(__file__).parents[2]


class WorkerProcess:
    """A process of its own that does the tasks of a job.

    Args:
        factory: of encoders and decoders; the process has one like it.
        job: sent to it first.
        threads: for it to compute with.
    """

    def __init__(self, factory: CodecFactory, job: Job, threads: int) -> None:
        self.channel, theirs = Pipe()
        command = [*factory.command, "worker", str(theirs.fileno()), "--threads", str(threads)]
        paths = [str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # signals of the terminal are for the one who started it
            )
        self.send(job)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def send(self, task: object) -> None:
        """A task; one that it cannot take any more is noticed when it is asked for results."""
        with suppress(OSError):
            self.channel.send(task)

    def receive(self) -> object:
        """What it sends next.

        Raises:
            EOFError: if it has died.
            Exception: what it failed with.
        """
        try:
            item: object = self.channel.recv()
        except (OSError, EOFError) as error:
            raise EOFError from error
        if isinstance(item, Exception):
            raise item
        return item

    def end(self) -> str:
        """End of the process, at once; how it had ended before, for people."""
        status = self._process.poll()
        if status is None:
            try:
                status = self._process.wait(0.2)  # its end of the channel closes before it is gone
            except subprocess.TimeoutExpired:
                self._process.kill()
        self.channel.close()
        self._process.wait()
        if status is not None and status < 0:
            return f"by {signal.Signals(-status).name}"
        return f"with status {status}"

    def kill(self) -> None:
        """End of the process, at once."""
        self._process.kill()
        self._process.wait()
        self.channel.close()


def ready(workers: Sequence[WorkerProcess], timeout: float | None) -> list[WorkerProcess]:
    """Those of some workers that have sent something or died, within seconds; None: for ever."""
    found: list[object] = list(wait([worker.channel for worker in workers], timeout))
    return [worker for worker in workers if worker.channel in found]


def worker_died(what: str, how: str, times: int) -> InputError:
    """The error that ends a run whose workers die again and again."""
    return InputError(
        f"{what}: the process that worked on it died {times} times, the last time {how}; is there"
        " enough memory? Fewer processes need less",
        parameter="jobs",
    )


def channel_of(number: int) -> Connection:
    """The worker's end of its channel, by the number of its file."""
    return Connection(number)
