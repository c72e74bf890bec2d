"""Encoding of many videos, one after another; what is done already is skipped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from roicodec.errors import InputError, RoicodecError, StreamError

if TYPE_CHECKING:
    from roicodec.encoder.options import EncoderOptions
    from roicodec.transcode import EncodeReport

__all__ = ["VIDEO_NAMES", "Job", "Outcome", "encode_all", "is_done", "plan", "run"]

VIDEO_NAMES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".y4m", ".yuv", ".ts", ".m2ts", ".mpg"),
    *(".mpeg", ".flv", ".wmv", ".nut", ".ogv", ".h264", ".264", ".h265", ".265", ".hevc", ".ivf"),
)
"""Endings of the names of videos."""

_NOT_IN_FOLDERS = (".yuv",)
"""Endings that say too little of a file for it to be read."""

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One video to encode.

    Attributes:
        source: its path.
        target: path of its stream.
    """

    source: str
    target: str


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of a job.

    Attributes:
        job: which.
        state: ``done``; ``skipped``, as its stream is there and whole; or ``failed``.
        result: of a job that is done.
        error: why a job failed, in one line.
    """

    job: Job
    state: Literal["done", "skipped", "failed"]
    result: T | None = None
    error: str = ""


def plan(sources: Sequence[str | PathLike[str]], folder: str | PathLike[str]) -> list[Job]:
    """A job for each video.

    Args:
        sources: files, and folders, of which all files count that have the name of a video.
        folder: for the streams, which get the videos' names with ``.rq``; the whole name of the
            video before it where several differ in their endings alone.

    Raises:
        InputError: if there is no video, or two would get the same name.
    """
    files: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            names = sorted(p for p in source.iterdir() if p.is_file())
            files += [p for p in names if _is_video(p)]
        else:
            files.append(source)
    files = list(dict.fromkeys(files))
    if not files:
        raise InputError(
            f"no video in {', '.join(str(source) for source in sources)}", parameter="source"
        )
    stems = Counter(path.stem for path in files)
    jobs = []
    for path in files:
        name = path.stem if stems[path.stem] == 1 else path.name
        jobs.append(Job(fspath(path), fspath(Path(folder, f"{name}.rq"))))
    twice = [t for t, count in Counter(job.target for job in jobs).items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]}: several videos have this name; encode them to other folders")
    return jobs


def _is_video(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in VIDEO_NAMES and suffix not in _NOT_IN_FOLDERS and path.name[0] != "."


def is_done(job: Job) -> bool:
    """Whether the stream of a job is there, whole, and not older than the video."""
    from roicodec.bitstream.reader import StreamReader

    try:
        if os.stat(job.target).st_mtime_ns < os.stat(job.source).st_mtime_ns:
            return False
        with open(job.target, "rb") as file:
            return StreamReader(file).frame_count() is not None
    except (OSError, StreamError):
        return False


def run(
    jobs: Sequence[Job], encode: Callable[[Job], T], *, again: bool = False
) -> Iterator[Outcome[T]]:
    """The jobs one after another.

    Args:
        jobs: as :func:`plan` gives them. Each stands alone, so that others may run some of them.
        encode: does one.
        again: whether jobs are done that are done already.

    Returns:
        what became of each, in their order, as it is known.
    """
    for job in jobs:
        if not again and is_done(job):
            yield Outcome(job, "skipped")
            continue
        try:
            result = encode(job)
        except (RoicodecError, OSError, MemoryError) as error:
            yield Outcome(job, "failed", error=str(error) or type(error).__name__)
        else:
            yield Outcome(job, "done", result)


def encode_all(
    sources: Sequence[str | PathLike[str]],
    folder: str | PathLike[str],
    options: EncoderOptions | None = None,
    *,
    again: bool = False,
    **arguments: Any,
) -> list[Outcome[EncodeReport]]:
    """Many videos as streams; a failure does not stop the rest.

    Args:
        sources: files, and folders of videos.
        folder: for the streams; made if it is not there.
        options: of the encoder.
        again: whether videos are encoded whose stream is there, whole and not older.
        arguments: others of :func:`roicodec.encode`.

    Returns:
        what became of each video.

    Raises:
        InputError: if there is no video, or the folder cannot be made.
    """
    from roicodec.api import encode

    jobs = plan(sources, folder)
    make_folder(folder)
    return list(
        run(jobs, lambda job: encode(job.source, job.target, options, **arguments), again=again)
    )


def make_folder(folder: str | PathLike[str]) -> None:
    """A folder and those above it, where they are not there.

    Raises:
        InputError: if it cannot be made.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{fspath(folder)}: the folder cannot be made ({error.strerror})", parameter="out_dir"
        ) from error
