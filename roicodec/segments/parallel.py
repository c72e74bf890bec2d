"""Encode of a video by several workers: plan, encode, join.

This process reads the source once, to find the segments and the packets of other tracks, and hands
segments out as it finds them; each worker reads the source for itself.
"""

from __future__ import annotations

import pickle
import struct
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import BinaryIO

from roicodec.bitstream.writer import StreamWriter
from roicodec.errors import InputError
from roicodec.media import Extras, Reader, TrackPacket, VideoInfo
from roicodec.picture import Picture
from roicodec.segments.encoder import missed_goal
from roicodec.segments.executors import Executor
from roicodec.segments.jobs import automatic_jobs, check_memory
from roicodec.segments.plan import Segment
from roicodec.segments.planner import Planner
from roicodec.segments.sequential import Encoded, Progress, fitting_payload
from roicodec.segments.store import SegmentStore
from roicodec.segments.stream import Joiner
from roicodec.segments.task import EncodedSegment
from roicodec.segments.work import Work

__all__ = ["check_portable", "encode_in_parallel", "encode_jobs"]

_RECORD = struct.Struct(">QI")
_AHEAD = 2
"""Segments that are planned before a worker is free."""


def encode_jobs(work: Work, info: VideoInfo, jobs: int | None, listener: Progress) -> int:
    """Number of processes that encode a work, filled in.

    Args:
        work: filled in.
        info: of its video.
        jobs: as asked for; None for what cores and memory allow.
        listener: is warned where memory may be short.

    Raises:
        InputError: if several are asked for, and its source or ROI cannot be had by them.
    """
    pixels, rules = info.width * info.height, work.rules()
    if jobs is None:
        if not work.again or rules is None:
            return 1
        jobs = automatic_jobs(pixels, work.options.frames, rules.gop, "encode")
        if jobs > 1:
            with suppress(InputError):
                check_portable(work)
                return jobs
        return 1
    if jobs > 1:
        check_portable(work)
        check_memory(jobs, pixels, "encode", listener.warn)
    return jobs


def check_portable(work: Work) -> None:
    """Check that a work can be had by other processes.

    Raises:
        InputError: if its source can be read only once, or its ROI is a function that cannot be
            sent.
    """
    if not work.again:
        raise InputError(
            f"{work.source}: can be read only once, so one process has to encode it",
            parameter="jobs",
        )
    try:
        pickle.dumps(work)
    except Exception as error:
        raise InputError(
            f"the ROI cannot be sent to other processes ({error}); give a function of a module, or"
            " one process",
            parameter="jobs",
        ) from None


class _Plan:
    """First pass over the source, picture by picture.

    Args:
        work: filled in.
        reader: of its source, at the start.
        listener: receiver of warnings.

    Attributes:
        segments: all so far.
        waiting: those that nobody has begun.
        finished: whether all are found.
        first_pts, end: time stamp of the first picture, and the end of the last.
    """

    def __init__(self, work: Work, reader: Reader, spool: BinaryIO, listener: Progress) -> None:
        self._bit_rate = work.options.bit_rate
        rules = work.rules()
        self._planner = Planner(rules, costs=self._bit_rate is not None)
        self._items: Iterator[Picture | TrackPacket] = reader.items()
        self._extras, self._spool, self._listener = reader.extras, spool, listener
        self.segments: list[Segment] = []
        self.waiting: deque[Segment] = deque()
        self.finished = False
        self.first_pts = self.end = 0

    def step(self) -> None:
        """One more picture or packet."""
        item = next(self._items, None)
        if item is None:
            self.finished = True
            self._found(self._planner.finish())
            if self._bit_rate is not None:
                self.segments = self._planner.budgets(self._bit_rate)
                self.waiting.extend(self.segments)
        elif isinstance(item, TrackPacket):
            payload, line = fitting_payload(item, self._extras)
            if line:
                self._listener.warn(line)
            else:
                self._spool.write(_RECORD.pack(self._planner.pictures, len(payload)) + payload)
        else:
            if not self._planner.pictures:
                self.first_pts = item.pts
            self.end = item.pts + item.duration
            self._found(self._planner.add(item))

    def _found(self, segment: Segment | None) -> None:
        if segment is not None and self._bit_rate is None:
            self.segments.append(segment)
            self.waiting.append(segment)


def encode_in_parallel(
    work: Work,
    reader: Reader,
    out: BinaryIO,
    start: Callable[[int], Executor],
    store: SegmentStore,
    listener: Progress,
) -> tuple[Encoded, float]:
    """Stream of a video, and seconds of the workers' cores.

    Args:
        work: filled in; its source can be read more than once.
        reader: of its source, at the start.
        out: takes the stream; need not be seekable.
        start: starts the workers; is given the time stamp of the first picture.
        store: of finished segments, open.
        listener: receiver of progress and warnings.

    Raises:
        InputError: if the source or the ROI cannot be used, or finished segments are of another
            source.
        ModelError: if there are no networks.
    """
    with tempfile.TemporaryFile(dir=store.folder.parent) as spool:
        plan = _Plan(work, reader, spool, listener)
        results = _encode(plan, start, store, listener)
        spool.seek(0)
        done, begun = Encoded(), time.perf_counter()
        _join(plan, reader, out, store, spool, done)
        done.join_seconds = time.perf_counter() - begun
    done.duration = float((plan.end - plan.first_pts) * reader.info.time_base)
    missed = [(result.segment, result.missed) for result in results if result.missed]
    missed.sort(key=lambda found: found[0].start)
    done.missed = missed_goal(
        work.options, missed, len(plan.segments), done.video_bytes, done.frames
    )
    return done, sum(result.cpu_seconds for result in results)


def _encode(
    plan: _Plan, start: Callable[[int], Executor], store: SegmentStore, listener: Progress
) -> list[EncodedSegment]:
    """All segments into the store; what is told of the new ones, without their bytes."""
    results: list[EncodedSegment] = []
    executor: Executor | None = None
    done = size = 0
    busy = 0
    try:
        while not plan.finished or plan.waiting or busy:
            while plan.waiting and (executor is None or executor.free):
                segment = plan.waiting.popleft()
                found = store.find(segment.start)
                if found is not None:
                    _check(found, segment)
                    done += segment.frames
                    continue
                executor = executor or start(plan.first_pts)
                executor.submit(segment)
                busy += 1
            reading = not plan.finished and len(plan.waiting) < _AHEAD
            if reading:
                plan.step()
            if executor is None or not busy:
                continue
            for result in executor.results(0 if reading else None):
                if not results:
                    for line in result.replaced:
                        listener.warn(line)
                store.add_bytes(result.segment, result.data)
                size += len(result.data)
                done += result.segment.frames
                busy -= 1
                results.append(replace(result, data=b""))
            listener.size(size)
            listener.frame(done + executor.frames)
    finally:
        if executor is not None:
            executor.close()
    return results


def _check(found: Segment, segment: Segment) -> None:
    if (found.stop, found.crc32) != (segment.stop, segment.crc32):
        raise InputError(
            f"frames {segment.start} to {segment.stop - 1} are not those that an earlier run has"
            " encoded: the source has changed; start anew"
        )


def _join(
    plan: _Plan, reader: Reader, out: BinaryIO, store: SegmentStore, spool: BinaryIO, done: Encoded
) -> None:
    """The stream, of the finished segments and the packets."""
    header, _ = store.load(plan.segments[0])
    packets = _packets(spool)
    packet = next(packets, None)
    with StreamWriter(out, header) as writer:
        joiner = Joiner(writer, lambda frames, size: None)
        if reader.extras != Extras():
            writer.write_track(reader.extras.to_bytes())
        with closing(packets):
            for segment in plan.segments:
                for frame in store.load(segment)[1]:
                    while packet is not None and packet[0] <= writer.frames:
                        joiner.packet(*packet)
                        packet = next(packets, None)
                    joiner.frame(frame)
            while packet is not None:
                joiner.packet(*packet)
                packet = next(packets, None)
    done.frames, done.bytes, done.video_bytes = writer.frames, writer.position, joiner.video_bytes


def _packets(spool: BinaryIO) -> Generator[tuple[int, bytes]]:
    """Packets, each with the number of pictures that it lies behind."""
    while head := spool.read(_RECORD.size):
        pictures, size = _RECORD.unpack(head)
        yield pictures, spool.read(size)
