"""Who encodes segments for a run: worker processes of this machine, or a cluster's."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from roicodec.factory import CodecFactory
from roicodec.segments.plan import Segment
from roicodec.segments.pool import WorkerProcess, ready, worker_died
from roicodec.segments.task import EncodedSegment
from roicodec.segments.work import Work
from roicodec.segments.worker import EncodeJob

__all__ = ["Executor", "LocalExecutor"]

_ATTEMPTS = 3
"""Times that a segment is begun by workers that die, before the run ends."""


class Executor(Protocol):
    """Encoder of several segments at a time, in any order."""

    @property
    def frames(self) -> int:
        """Number of pictures that are encoded of unfinished segments."""

    @property
    def free(self) -> int:
        """Number of segments that it can begin at once."""

    def submit(self, segment: Segment) -> None:
        """One more segment."""

    def results(self, timeout: float | None) -> list[EncodedSegment]:
        """Segments that are finished.

        Args:
            timeout: seconds to wait for one, or for progress; None for any time.

        Raises:
            RoicodecError: as the encoder does, or if workers die again and again.
        """

    def close(self) -> None:
        """End of all workers, whatever they do."""


@dataclass(slots=True)
class _Busy:
    segment: Segment
    frames: int = 0


class LocalExecutor:
    """Worker processes on this machine, started when they are needed.

    Args:
        work: filled in.
        factory: of encoders; each process has one like it.
        first_pts: of the video's first picture.
        jobs: number of processes.
        threads: for each to compute with; None to share the cores.
    """

    def __init__(
        self,
        work: Work,
        factory: CodecFactory,
        first_pts: int,
        jobs: int,
        threads: int | None = None,
    ) -> None:
        self._job, self._factory = EncodeJob(work, first_pts), factory
        self._jobs = jobs
        self._threads = threads or max(1, len(os.sched_getaffinity(0)) // jobs)
        self._source = work.source
        self._idle: list[WorkerProcess] = []
        self._busy: dict[WorkerProcess, _Busy] = {}
        self._deaths: Counter[int] = Counter()

    @property
    def frames(self) -> int:
        return sum(busy.frames for busy in self._busy.values())

    @property
    def free(self) -> int:
        return self._jobs - len(self._busy)

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers that are busy."""
        return [worker.pid for worker in self._busy]

    def submit(self, segment: Segment) -> None:
        worker = (
            self._idle.pop()
            if self._idle
            else WorkerProcess(self._factory, self._job, self._threads)
        )
        self._busy[worker] = _Busy(segment)
        worker.send(segment)

    def results(self, timeout: float | None) -> list[EncodedSegment]:
        done = []
        for worker in ready(list(self._busy), timeout):
            busy = self._busy[worker]
            try:
                item = worker.receive()
            except EOFError:
                del self._busy[worker]
                self._died(busy.segment, worker.end())
                continue
            if isinstance(item, EncodedSegment):
                del self._busy[worker]
                self._idle.append(worker)
                done.append(item)
            else:
                busy.frames += 1
        return done

    def close(self) -> None:
        for worker in (*self._idle, *self._busy):
            worker.kill()
        self._idle, self._busy = [], {}

    def _died(self, segment: Segment, how: str) -> None:
        self._deaths[segment.number] += 1
        times = self._deaths[segment.number]
        if times == _ATTEMPTS:
            what = f"{self._source}, frames {segment.start} to {segment.stop - 1}"
            raise worker_died(what, how, times)
        self.submit(segment)
