"""Files that commands read and write: what they are, and what must not be overwritten."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from roicodec.batch import VIDEO_NAMES
from roicodec.errors import InputError, StreamError

__all__ = [
    "check_parts",
    "check_stream_name",
    "check_target",
    "clear_left_overs",
    "describe",
    "open_stream",
    "refuse_stream",
]

_MAGIC = b"\x89RQV"
_HEAD = 12
_UNKNOWN = b"?"
_SIGNATURES = (
    (0, _MAGIC, "a roicodec stream"),
    (4, b"ftyp", "an MP4 or MOV video"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"YUV4MPEG2", "a Y4M video"),
    (0, b"RIFF", "an AVI or WAV file"),
    (0, b"FLV", "a Flash video"),
    (0, b"OggS", "an Ogg file"),
    (0, b"G@", "an MPEG transport stream"),
    (0, b"\0\0\0\1", "a raw video stream"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
)


def describe(head: bytes) -> str:
    """Kind of a file by its first twelve bytes, with an article; empty if unknown."""
    if not head:
        return "an empty file"
    for at, signature, name in _SIGNATURES:
        if head[at:].startswith(signature):
            return name
    return ""


def check_target(target: str, force: bool, inputs: Sequence[str]) -> None:
    """Check of the name of an output.

    Args:
        target: a path, or ``-``.
        force: whether an existing file may be overwritten.
        inputs: what is read; of these, files are never overwritten.

    Raises:
        InputError: if ``target`` is an input, or exists as a file and ``force`` is not given.
    """
    if target == "-":
        return
    for name in inputs:
        if os.path.exists(name) and os.path.exists(target) and os.path.samefile(name, target):
            what = "the input" if name == inputs[0] else f"an input ({name})"
            raise InputError(f"{target} is {what}; give another name for the output")
    if os.path.isfile(target) and not force:
        raise InputError(f"{target} exists; give another name, or -f to overwrite it")


def clear_left_overs(target: str, force: bool, warn: Callable[[str], None]) -> None:
    """Files that killed runs left of ``target``: removed with ``force``, else warned of."""
    if target == "-":
        return
    from roicodec.output import left_overs

    for path, size in left_overs(target):
        if force:
            path.unlink(missing_ok=True)
        else:
            warn(
                f"{target}: a run that was killed has left {path} ({size} bytes); remove it, or"
                " give -f"
            )


def check_parts(target: str) -> None:
    """Check for segments that an interrupted run has left of ``target``.

    Raises:
        InputError: if there are some.
    """
    from roicodec.segments.store import finished_parts, parts_folder

    folder = parts_folder(target)
    if found := finished_parts(folder):
        raise InputError(
            f"{target}: an interrupted run has left {len(found)} finished segments in {folder};"
            " give --resume to go on from them, or -f to start anew without them"
        )


def check_stream_name(target: str, force: bool) -> None:
    """Check of the name of a stream that is written.

    Raises:
        InputError: if a stream would get the name of a video, and ``force`` is not given.
    """
    suffix = Path(target).suffix.lower()
    if suffix in VIDEO_NAMES and not force:
        raise InputError(
            f"{target}: encode writes a roicodec stream, which no player takes for a {suffix} file;"
            f" call it {Path(target).with_suffix('.rq')}, or give -f"
        )


def refuse_stream(source: str) -> None:
    """Check that a source is a video and no stream.

    Raises:
        InputError: if ``source``, a path or ``-`` for standard input, is a stream already.
    """
    if _head(source).startswith(_MAGIC):
        raise InputError(
            f"{source}: is a roicodec stream already; 'roicodec decode' makes a video of it"
        )


def open_stream(name: str) -> AbstractContextManager[BinaryIO]:
    """A stream to read, ``-`` for standard input.

    Raises:
        InputError: if it cannot be opened.
        StreamError: if it is something else.
    """
    if name == "-" and sys.stdin.isatty():
        raise InputError("standard input is a terminal; give a file or pipe a stream in")
    head = _head(name)
    found = describe(head)
    if found and not head.startswith(_MAGIC):
        hint = "; 'roicodec encode' makes a stream of a video" if "video" in found else ""
        raise StreamError(f"not an .rq stream but {found}{hint}")
    if name == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return open(name, "rb")
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from error


def _head(name: str) -> bytes:
    """First bytes of a file, or of one that is standard input; ``?`` for a pipe or a device, which
    could not be read again."""
    try:
        if name != "-":
            if not os.path.isfile(name):
                return _UNKNOWN
            with open(name, "rb") as file:
                return file.read(_HEAD)
        number = sys.stdin.fileno()
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return _UNKNOWN
        return os.pread(number, _HEAD, os.lseek(number, 0, os.SEEK_CUR))
    except (OSError, ValueError):
        return _UNKNOWN
