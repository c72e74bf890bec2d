"""Decoding of several GOPs at a time, by worker processes; pictures come in the stream's order."""

from __future__ import annotations

import os
import queue
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from roicodec.bitstream.constants import INTRA
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.masks import Mask
from roicodec.errors import StreamError
from roicodec.factory import CodecFactory, Decoded
from roicodec.picture import Picture
from roicodec.segments.pool import WorkerProcess, worker_died

__all__ = ["DecodeJob", "PooledDecoder"]

_ATTEMPTS = 3
_WAITING = 1 << 28
"""Bytes of pictures that a worker decodes ahead of being asked for them."""


@dataclass(frozen=True, slots=True)
class _Setting:
    quality: int
    b_roi: int
    b_bg: int
    mask: Mask


@dataclass(frozen=True, slots=True)
class _Shown:
    """A decoded frame, as a worker sends it."""

    picture: Picture
    number: int
    setting: _Setting


@dataclass(frozen=True, slots=True)
class _Answer:
    """Frames that can be shown after a chunk or a GOP, or why the chunk could not be decoded."""

    frames: list[_Shown]
    error: StreamError | None = None


@dataclass(frozen=True)
class DecodeJob:
    """Decode of GOPs: gets their chunks with their numbers, None after each GOP.

    Attributes:
        header: of the stream.
        backend: of the networks.
    """

    header: Header
    backend: str | None

    def serve(self, channel: Connection, factory: CodecFactory) -> None:
        """Answers to what comes, in order."""
        inbox: queue.SimpleQueue[tuple[FrameChunk, int | None] | bool | None] = queue.SimpleQueue()
        outbox = _Outbox(channel)

        def read() -> None:
            try:
                while True:
                    inbox.put(channel.recv())
            except (EOFError, OSError):
                inbox.put(False)
                outbox.give_up()

        threading.Thread(target=read, daemon=True).start()
        decoder = factory.decoder(self.header, self.backend)
        while (item := inbox.get()) is not False:
            if item is None:
                outbox.put(_Answer([_shown(frame) for frame in decoder.rest()]))
                decoder = factory.decoder(self.header, self.backend)
                continue
            assert not isinstance(item, bool)
            decoder.submit(*item)
            try:
                outbox.put(_Answer([_shown(frame) for frame in decoder.take()]))
            except StreamError as error:
                outbox.put(_Answer([], error))


class _Outbox:
    """Answers that wait to be sent, by a thread of its own; of bounded size.

    Args:
        channel: to send them by.
    """

    def __init__(self, channel: Connection) -> None:
        self._channel = channel
        self._state = threading.Condition()
        self._answers: deque[_Answer] = deque()
        self._bytes = 0
        self._closed = False
        threading.Thread(target=self._run, daemon=True).start()

    def put(self, answer: _Answer) -> None:
        with self._state:
            self._state.wait_for(lambda: self._bytes < _WAITING or self._closed)
            self._answers.append(answer)
            self._bytes += _size(answer)
            self._state.notify_all()

    def give_up(self) -> None:
        with self._state:
            self._closed = True
            self._state.notify_all()

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: bool(self._answers) or self._closed)
                if self._closed:
                    return
                answer = self._answers.popleft()
            try:
                self._channel.send(answer)
            except OSError:
                self.give_up()
                return
            with self._state:
                self._bytes -= _size(answer)
                self._state.notify_all()


def _size(answer: _Answer) -> int:
    return sum(plane.nbytes for shown in answer.frames for plane in shown.picture.planes)


def _shown(frame: Decoded) -> _Shown:
    s = frame.setting
    setting = _Setting(s.quality, s.b_roi, s.b_bg, s.mask)
    return _Shown(frame.picture, frame.number, setting)


@dataclass(slots=True, eq=False)
class _Gop:
    """A GOP that a worker has.

    Attributes:
        place: of the worker among the others.
        chunks: its chunks with their numbers.
        ended: whether all have come.
        taken: number of answers that have been used.
    """

    place: int
    chunks: list[tuple[FrameChunk, int | None]] = field(default_factory=list)
    ended: bool = False
    taken: int = 0


class PooledDecoder:
    """Decoder of a stream by several processes, each of which gets one GOP after another.

    Args:
        header: of the stream.
        factory: of decoders; each process has one like it.
        backend: of the networks.
        jobs: number of processes.
        threads: for each to compute with; None to share the cores.
    """

    def __init__(
        self,
        header: Header,
        factory: CodecFactory,
        backend: str | None,
        *,
        jobs: int,
        threads: int | None = None,
    ) -> None:
        self._job, self._factory = DecodeJob(header, backend), factory
        self._threads = threads or max(1, len(os.sched_getaffinity(0)) // jobs)
        self._workers: list[WorkerProcess | None] = [None] * jobs
        self._gops: deque[_Gop] = deque()
        self._count = self._submitted = 0
        self._deaths: Counter[int] = Counter()
        self._pending: list[_Shown] = []
        self.ahead = jobs * max(header.gop, 1) + 1

    def submit(self, chunk: FrameChunk, number: int | None = None) -> None:
        """Begin of a frame, as :meth:`roicodec.factory.PictureDecoder.submit`."""
        if chunk.kind == INTRA or not self._gops:
            if self._gops:
                self._end(self._gops[-1])
            self._gops.append(_Gop(self._count % len(self._workers)))
            self._count += 1
        gop = self._gops[-1]
        gop.chunks.append((chunk, number))
        self._worker(gop.place).send((chunk, number))
        self._submitted += 1

    def take(self) -> list[_Shown]:
        """The pictures that can be shown once the oldest submitted frame is decoded.

        Raises:
            ReferenceLost: if a frame that it refers to could not be decoded.
            StreamError: if the frame cannot be decoded.
            InputError: if workers die again and again.
        """
        gop = self._gops[0]
        if gop.taken == len(gop.chunks):
            self._pending += self._answer(gop).frames
            self._gops.popleft()
            gop = self._gops[0]
        self._submitted -= 1
        answer = self._answer(gop)
        if answer.error is not None:
            raise answer.error
        out, self._pending = self._pending + answer.frames, []
        return out

    def rest(self) -> list[_Shown]:
        """The pictures that wait for frames which do not come; what was submitted is dropped."""
        out, self._pending = self._pending, []
        if not self._submitted and self._gops:
            self._end(self._gops[-1])
            out += self._answer(self._gops[-1]).frames
        self.close()
        return out

    def close(self) -> None:
        """End of all workers."""
        for worker in self._workers:
            if worker is not None:
                worker.kill()
        self._workers = [None] * len(self._workers)
        self._gops.clear()
        self._submitted = 0

    def _end(self, gop: _Gop) -> None:
        gop.ended = True
        self._worker(gop.place).send(None)

    def _worker(self, place: int) -> WorkerProcess:
        worker = self._workers[place]
        if worker is None:
            worker = WorkerProcess(self._factory, self._job, self._threads)
            self._workers[place] = worker
        return worker

    def _answer(self, gop: _Gop) -> _Answer:
        """The next answer on a GOP, by another worker if the first has died."""
        while True:
            try:
                answer = self._worker(gop.place).receive()
            except EOFError:
                self._restart(gop)
                continue
            assert isinstance(answer, _Answer)
            gop.taken += 1
            return answer

    def _restart(self, gop: _Gop) -> None:
        """Another worker in the place of one that died while it had a GOP."""
        how = self._worker(gop.place).end()
        self._workers[gop.place] = None
        first = gop.chunks[0][1] or 0
        self._deaths[first] += 1
        if self._deaths[first] == _ATTEMPTS:
            raise worker_died(f"the GOP of frame {first}", how, _ATTEMPTS)
        worker = self._worker(gop.place)
        for other in self._gops:
            if other.place == gop.place:
                for item in other.chunks:
                    worker.send(item)
                if other.ended:
                    worker.send(None)
        for _ in range(gop.taken):
            try:
                worker.receive()
            except EOFError:
                return  # which the next question finds out
