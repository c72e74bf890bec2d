"""Finished segments in a folder beside the output, from which an encode that was interrupted goes
on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from roicodec import __version__
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.errors import InputError, StreamError
from roicodec.output import keep_parts, sync_folder
from roicodec.segments.plan import Segment
from roicodec.segments.stream import pack_segment, unpack_segment

__all__ = ["SegmentStore", "finished_parts", "parts_folder", "temporary_store"]

_SUFFIX = ".parts"
_LONGEST_NAME = 255
"""Bytes of a file name."""
_SETTINGS = "settings.json"
_HALF = ".half"


def parts_folder(target: str) -> Path:
    """Folder of the finished segments of an output."""
    final = Path(os.path.realpath(target))
    name = os.fsencode(final.name)
    if len(name) + len(_SUFFIX) > _LONGEST_NAME:
        return final.with_name("roicodec-" + hashlib.sha256(name).hexdigest()[:16] + _SUFFIX)
    return final.with_name(final.name + _SUFFIX)


def finished_parts(folder: Path) -> list[Path]:
    """Files of finished segments in a folder, in order."""
    return sorted(folder.glob("*-*-*.rq"))


@contextmanager
def temporary_store() -> Iterator[SegmentStore]:
    """A store of segments that nobody will resume."""
    with tempfile.TemporaryDirectory(prefix="roicodec-") as folder:
        yield SegmentStore(Path(folder) / "segments")


class SegmentStore:
    """Finished segments of one output, on disk.

    The folder comes with the first segment, and is locked while a process writes to it. As a
    context manager around the output it is removed once that is complete, and stays where an
    exception passes through.

    Args:
        folder: for them.
        resume: whether segments that are there may be used.
        discard: whether they may be removed, if they are not used.

    Attributes:
        folder, resume: as given.
        header: that all segments must have; the first one's where it is not set.
    """

    def __init__(self, folder: Path, *, resume: bool = False, discard: bool = False) -> None:
        self.folder, self.resume, self._discard = folder, resume, discard
        self._settings: dict[str, str] = {"program": f"roicodec {__version__}"}
        self._lock: int | None = None
        self._known: dict[int, tuple[Segment, Path]] = {}
        self.header: Header | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.remove()
        else:
            self.close()

    def open(self, settings: Mapping[str, str]) -> None:
        """Look for what an earlier run has left.

        Args:
            settings: what segments depend on, by name; those of other settings are not used.

        Raises:
            InputError: if there are segments that may not be used, or another process writes them.
        """
        self._settings.update(settings)
        if not self.folder.exists():
            return
        self._acquire()
        for path in self.folder.glob(f"*{_HALF}"):
            path.unlink()
        paths = finished_parts(self.folder)
        if paths and not self.resume:
            if self._discard:
                for path in paths:
                    path.unlink()
                return
            raise InputError(
                f"{self.folder}: an interrupted run has left {len(paths)} finished segments",
                parameter="resume",
            )
        if paths:
            self._compare()
        for number, path in enumerate(paths):
            start, stop, crc, cut = path.stem.split("-")
            known = Segment(number, int(start), int(stop), cut == "1", int(crc, 16))
            self._known[known.start] = known, path

    def _compare(self) -> None:
        try:
            kept = json.loads((self.folder / _SETTINGS).read_text())
        except (OSError, ValueError):
            kept = {}
        for name, value in self._settings.items():
            if kept.get(name) != value:
                raise InputError(
                    f"{self.folder}: its segments are of another {name} ({kept.get(name)}, now"
                    f" {value}); give the same as before, or remove the folder"
                )

    def __len__(self) -> int:
        return len(self._known)

    @property
    def frames(self) -> int:
        """Number of frames in the finished segments."""
        return sum(segment.frames for segment, _ in self._known.values())

    def find(self, start: int) -> Segment | None:
        """The segment that begins with a frame and is whole; None if there is none."""
        if start not in self._known:
            return None
        segment, path = self._known[start]
        try:
            self.load(segment)
        except StreamError:
            path.unlink()
            del self._known[start]
            return None
        return segment

    def load(self, segment: Segment) -> tuple[Header, list[FrameChunk]]:
        """Header and frames of a segment.

        Raises:
            StreamError: if it is damaged.
            InputError: if it is of another model than the others.
        """
        _, path = self._known[segment.start]
        try:
            header, frames = unpack_segment(path.read_bytes(), segment.frames)
        except OSError as error:
            raise StreamError(f"{path}: cannot be read ({error.strerror})") from error
        if self.header is None:
            self.header = header
        elif header != self.header:
            raise InputError(
                f"{self.folder}: its segments are of another model or header; remove the folder"
            )
        return header, frames

    def add(self, segment: Segment, frames: Sequence[FrameChunk]) -> None:
        """One more segment; its header is set."""
        assert self.header is not None
        self.add_bytes(segment, pack_segment(self.header, frames))

    def add_bytes(self, segment: Segment, data: bytes) -> None:
        """One more segment, as its stream.

        Raises:
            InputError: if it cannot be written.
        """
        name = f"{segment.start:08d}-{segment.stop:08d}-{segment.crc32:08x}-{segment.cut:d}.rq"
        path = self.folder / name
        try:
            self._acquire()
            half = path.with_suffix(_HALF)
            with half.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            half.replace(path)
            sync_folder(self.folder)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from error
        self._known[segment.start] = segment, path

    def remove(self) -> None:
        """End of the folder, whose segments are joined."""
        self.close()
        if self._known:
            shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """End of the lock; a folder without segments goes."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            if not finished_parts(self.folder):
                shutil.rmtree(self.folder, ignore_errors=True)

    def _acquire(self) -> None:
        """The lock, the folder made if it is not there.

        Raises:
            InputError: if another process has it.
        """
        if self._lock is not None:
            return
        fresh = not self.folder.exists()
        self.folder.mkdir(exist_ok=True)
        settings = self.folder / _SETTINGS
        lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise InputError(f"{self.folder}: another run writes segments there now") from None
        except OSError:  # a file system without locks
            pass
        self._lock = lock
        keep_parts(self.folder, lambda: len(finished_parts(self.folder)))
        if fresh or not finished_parts(self.folder):
            with suppress(OSError):
                settings.write_text(json.dumps(self._settings, indent=1))
