"""What the workers of a cluster run: functions that a scheduler sends by name."""

from __future__ import annotations

import os
import tempfile
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from roicodec import __version__
from roicodec.encoder.roi.given import Roi, roi_list
from roicodec.factory import CodecFactory, NetworkFactory
from roicodec.segments.plan import Segment
from roicodec.segments.task import EncodedSegment, SegmentTask
from roicodec.segments.work import Work

__all__ = ["check", "encode", "has", "identity", "receive", "release"]

_PACKAGE = Path(__file__).parents[1]
_EDGE = 1 << 20

_lock = threading.Lock()
_tasks: list[tuple[str, SegmentTask]] = []
"""Encoders that are idle, each with the key of its work."""
_sent: dict[str, str] = {}
"""Paths of files that were sent, by their path where they came from."""


def identity(make: Callable[[], CodecFactory]) -> dict[str, str]:
    """All of program and networks that the bytes of a segment depend on, by name."""
    digest = 0
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = str(path.relative_to(_PACKAGE))
        digest = zlib.crc32(name.encode() + path.read_bytes(), digest)
    model = "none"
    if make is NetworkFactory:
        from roicodec.decoder.weights import load_arrays, model_id

        model = model_id(load_arrays()).hex()
    return {"version": __version__, "source code": f"{digest:08x}", "model": model}


def encode(
    key: str, make: Callable[[], CodecFactory], work: Work, first_pts: int, segment: Segment
) -> EncodedSegment:
    """A segment of a work, by an encoder that is kept for the next of the same ``key``."""
    task = None
    with _lock:
        for place, (known, idle) in enumerate(_tasks):
            if known == key:
                task = idle
                del _tasks[place]
                break
    task = task or SegmentTask(_here(work), make(), first_pts)
    result = task.encode(segment, lambda: None)
    with _lock:
        _tasks.append((key, task))
    return result


def release() -> None:
    """End of all encoders, and of the files that were sent."""
    with _lock:
        for _, task in _tasks:
            task.close()
        _tasks.clear()
        for path in _sent.values():
            Path(path).unlink(missing_ok=True)
        _sent.clear()


def check(path: str) -> int:
    """CRC-32 of a file's first and last MiB."""
    with open(path, "rb") as file:
        crc = zlib.crc32(file.read(_EDGE))
        file.seek(max(0, os.path.getsize(path) - _EDGE))
        return zlib.crc32(file.read(_EDGE), crc)


def has(path: str, size: int, crc: int) -> bool:
    """Whether a file is there, under its path or because it was sent."""
    for candidate in (path, _place(path, crc)):
        whole = os.path.isfile(candidate) and os.path.getsize(candidate) == size
        if whole and check(candidate) == crc:
            if candidate != path:
                _sent[path] = candidate
            return True
    return False


def receive(path: str, crc: int, offset: int, piece: bytes) -> None:
    """A piece of a file that is not there."""
    place = _place(path, crc)
    with open(place, "r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(piece)


def _place(path: str, crc: int) -> str:
    """Path of a file that is sent, one for each worker process."""
    name = f"roicodec-{os.getpid()}-{crc:08x}{Path(path).suffix}"
    return os.path.join(tempfile.gettempdir(), name)


def _here(work: Work) -> Work:
    """The work with the paths that its files have here."""
    if not _sent:
        return work

    def path(roi: Roi) -> Roi:
        if isinstance(roi, str | os.PathLike):
            return _sent.get(os.path.realpath(roi), roi)
        return roi

    roi = [path(spec) for spec in roi_list(work.roi)]
    return replace(work, source=_sent.get(work.source, work.source), roi=roi)
