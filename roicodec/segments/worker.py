"""Worker process: does what it is sent, until whoever started it has gone."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from roicodec.factory import CodecFactory
from roicodec.segments.plan import Segment
from roicodec.segments.task import SegmentTask
from roicodec.segments.work import Work

__all__ = ["EncodeJob", "Job", "serve"]


class Job(Protocol):
    """What a worker is for; sent to it first."""

    def start(self, factory: CodecFactory, send: Callable[[object], None]) -> Task:
        """What does its tasks; ``send`` sends something back."""


class Task(Protocol):
    """What does tasks one after the other."""

    def __call__(self, task: object) -> object:
        """The result of one."""


@dataclass(frozen=True)
class EncodeJob:
    """Encode of segments. Sends True for each picture.

    Attributes:
        work: filled in.
        first_pts: of the video's first picture.
    """

    work: Work
    first_pts: int

    def start(self, factory: CodecFactory, send: Callable[[object], None]) -> Task:
        encoder = SegmentTask(self.work, factory, self.first_pts)

        def encode(task: object) -> object:
            assert isinstance(task, Segment)
            return encoder.encode(task, lambda: send(True))

        return encode


def serve(channel: Connection, factory: CodecFactory) -> None:
    """Tasks from a channel, results into it, until it is closed at the other end.

    The first thing that comes is a :class:`Job`. What fails is sent as the exception.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    try:
        job: Job = channel.recv()
        try:
            does = job.start(factory, channel.send)
            while True:
                channel.send(does(channel.recv()))
        except (EOFError, OSError):
            raise
        except Exception as error:
            channel.send(_portable(error))
    except (EOFError, OSError):
        pass  # nobody waits for more


def _portable(error: Exception) -> Exception:
    """An error that can be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
