"""Worker process: does what it is sent, until whoever started it has gone."""

from __future__ import annotations

import pickle
import signal
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

    def serve(self, channel: Connection, factory: CodecFactory) -> None:
        """Work for the other end of a channel, until it is closed there."""


@dataclass(frozen=True)
class EncodeJob:
    """Encode of segments. Sends True for each picture.

    Attributes:
        work: filled in.
        first_pts: of the video's first picture.
    """

    work: Work
    first_pts: int

    def serve(self, channel: Connection, factory: CodecFactory) -> None:
        """A result for each segment that comes, and True for each picture."""
        encoder = SegmentTask(self.work, factory, self.first_pts)
        while True:
            segment: Segment = channel.recv()
            channel.send(encoder.encode(segment, lambda: channel.send(True)))


def serve(channel: Connection, factory: CodecFactory) -> None:
    """Tasks from a channel, results into it, until it is closed at the other end.

    The first thing that comes is a :class:`Job`. What fails is sent as the exception.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    try:
        job: Job = channel.recv()
        try:
            job.serve(channel, factory)
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
