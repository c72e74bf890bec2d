"""Segments encoded by the workers of a dask.distributed cluster."""

from __future__ import annotations

import hashlib
import os
import pickle
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from roicodec.encoder.roi.given import roi_list
from roicodec.errors import InputError
from roicodec.factory import CodecFactory
from roicodec.segments import remote
from roicodec.segments.plan import Segment
from roicodec.segments.pool import worker_died
from roicodec.segments.task import EncodedSegment
from roicodec.segments.work import Work

__all__ = ["ClusterExecutor"]

_ATTEMPTS = 3
"""Times that a segment is begun by workers that are lost, before the run ends."""

_LOOK_EVERY = 2.0
"""Seconds between looks for workers that have come or gone."""

_ANSWER = 10.0
"""Seconds within which a scheduler answers."""

_PIECE = 16 << 20
"""Bytes of a file that are sent at a time."""


class ClusterExecutor:
    """Workers of a cluster, those that come later included.

    A worker is given work if its program and networks are this machine's. Files that it does not
    find under their path are sent to it first.

    Args:
        work: filled in.
        factory: of encoders; each worker makes one of its class.
        first_pts: of the video's first picture.
        address: of the scheduler, as ``tcp://host:8786``.
        warn: takes a line on each worker that is refused.

    Raises:
        InputError: if dask.distributed is not installed, no scheduler answers, or none of its
            workers can be used.
    """

    def __init__(
        self,
        work: Work,
        factory: CodecFactory,
        first_pts: int,
        *,
        address: str,
        warn: Callable[[str], None],
    ) -> None:
        try:
            import distributed
        except ImportError as error:
            raise InputError(
                "a cluster needs dask.distributed: pip install 'roicodec[cluster]'",
                parameter="cluster",
            ) from error
        self._dask: Any = distributed
        self._files = [os.path.realpath(path) for path in _files(work)]
        self._work = replace(work, source=os.path.realpath(work.source))
        self._make, self._first_pts = type(factory), first_pts
        self._address, self._warn = address, warn
        self._mine = remote.identity(self._make)
        self._admitted: set[str] = set()
        self._refused: set[str] = set()
        self._key = hashlib.sha256(pickle.dumps((self._work, first_pts))).hexdigest()
        self._running: dict[Any, Segment] = {}
        self._deaths: Counter[int] = Counter()
        self._looked = 0.0
        try:
            self._client = self._dask.Client(address, timeout=_ANSWER, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{address}: no scheduler answers ({error})", parameter="cluster"
            ) from error
        try:
            self._look()
            if not self._admitted:
                raise InputError(f"{address}: has no worker that can be used", parameter="cluster")
        except BaseException:
            self._client.close()
            raise

    @property
    def frames(self) -> int:
        """0: a worker tells of whole segments alone."""
        return 0

    @property
    def free(self) -> int:
        # One waits at each worker, so that none has to wait for this process.
        return 2 * len(self._admitted) - len(self._running)

    def submit(self, segment: Segment) -> None:
        future = self._client.submit(
            remote.encode,
            self._key,
            self._make,
            self._work,
            self._first_pts,
            segment,
            workers=sorted(self._admitted),
            pure=False,
            retries=0,
            priority=-segment.number,
        )
        self._running[future] = segment

    def results(self, timeout: float | None) -> list[EncodedSegment]:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._client.status != "running":
                raise InputError(
                    f"{self._address}: the scheduler is lost; finished segments stay",
                    parameter="resume",
                )
            done = [self._result(future) for future in list(self._running) if future.done()]
            found = [result for result in done if result is not None]
            if found or (end is not None and time.monotonic() >= end):
                return found
            if time.monotonic() - self._looked > _LOOK_EVERY:
                self._look()
            time.sleep(0.02)

    def close(self) -> None:
        for future in self._running:
            future.release()
        if self._client.status == "running":
            self._client.run(remote.release, workers=sorted(self._alive()), on_error="ignore")
        self._client.close(timeout=_ANSWER)

    def _result(self, future: Any) -> EncodedSegment | None:
        """A segment; None where it has to be made again."""
        segment = self._running.pop(future)
        if future.status == "finished":
            result: EncodedSegment = future.result()
            if zlib.crc32(result.data) == result.crc32:
                return result
            how = "with bytes whose CRC is wrong"
        else:
            error = None if future.status != "error" else future.exception()
            lost = (self._dask.scheduler.KilledWorker, self._dask.CancelledError)
            if error is not None and not isinstance(error, lost):
                raise error
            how = f"({error or future.status})"
        self._deaths[segment.number] += 1
        times = self._deaths[segment.number]
        if times == _ATTEMPTS:
            what = f"{self._work.source}, frames {segment.start} to {segment.stop - 1}"
            raise worker_died(what, how, times)
        self._look()
        self.submit(segment)
        return None

    def _alive(self) -> set[str]:
        """Addresses of the admitted workers that are there."""
        return self._admitted & set(self._client.scheduler_info(n_workers=-1)["workers"])

    def _look(self) -> None:
        """Look for workers that have come or gone."""
        self._looked = time.monotonic()
        there = set(self._client.scheduler_info(n_workers=-1)["workers"])
        gone, new = self._admitted - there, there - self._admitted - self._refused
        self._admitted &= there
        for address in sorted(new):
            if reason := self._admit(address):
                self._refused.add(address)
                self._warn(f"worker {address} gets no work: {reason}")
            else:
                self._admitted.add(address)
        if gone and self._admitted:
            self._move()

    def _move(self) -> None:
        """New places for segments that may wait for workers that are gone."""
        for future, segment in list(self._running.items()):
            if future.status == "pending":
                del self._running[future]
                future.cancel()
                self.submit(segment)

    def _admit(self, address: str) -> str:
        """Why a worker cannot be used; empty if it can, and has all files."""
        theirs = self._on(address, remote.identity, self._make)
        if not isinstance(theirs, dict):
            return f"it has no roicodec that works ({theirs!r})"
        for name, value in self._mine.items():
            if theirs.get(name) != value:
                return f"its {name} is {theirs.get(name)}, here it is {value}"
        for path in self._files:
            size, check = os.path.getsize(path), remote.check(path)
            if self._on(address, remote.has, path, size, check) is True:
                continue
            with open(path, "rb") as file:
                while True:
                    piece = file.read(_PIECE)
                    if not piece:
                        break
                    at = file.tell() - len(piece)
                    told = self._on(address, remote.receive, path, check, at, piece)
                    if told is not None:
                        return f"{path} is not there and cannot be sent ({told!r})"
            if self._on(address, remote.has, path, size, check) is not True:
                return f"{path} is not there and has not come whole"
        return ""

    def _on(self, address: str, function: Callable[..., object], *given: object) -> object:
        """Result of a function on a worker, or the exception that it raised there."""
        try:
            answers = self._client.run(function, *given, workers=[address], on_error="return")
        except Exception as error:
            return error
        return answers.get(address, "no answer")


def _files(work: Work) -> list[str]:
    """Paths of the files that a work reads."""
    masks = [
        os.fspath(spec)
        for spec in roi_list(work.roi)
        if isinstance(spec, str | os.PathLike) and os.path.isfile(spec)
    ]
    return [work.source, *masks]
