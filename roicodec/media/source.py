"""Where videos are read from: files, pipes, file objects."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer

from roicodec.errors import InputError

__all__ = ["Source", "open_source"]

Source = str | os.PathLike[str] | BinaryIO


def open_source(source: Source) -> tuple[str, InputContainer]:
    """Name for messages, and the opened container."""
    file: str | BinaryIO
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        if name == "-":
            if sys.stdin.isatty():
                raise InputError("standard input is a terminal; give a file or pipe a video in")
            name, file = "standard input", sys.stdin.buffer
        elif "://" in name:
            file = name
        else:
            _check_file(name)
            file = f"file:{name}"  # so that a colon in the name is not taken for a protocol
    else:
        name, file = str(getattr(source, "name", "input")), source
    try:
        return name, av.open(file, "r", metadata_errors="surrogateescape")
    except av.FFmpegError as error:
        if name.lower().endswith(".yuv"):
            message = "raw video does not tell its size or format; convert it to .y4m first"
        else:
            message = f"not a video that FFmpeg can read ({error.strerror})"
        raise InputError(f"{name}: {message}") from error


def _check_file(name: str) -> None:
    path = Path(name)
    if path.is_dir():
        raise InputError(f"{name}: is a folder, not a video")
    if not path.exists() and "%" not in name:
        raise InputError(f"{name}: no such file")
    if path.exists() and not os.access(path, os.R_OK):
        raise InputError(f"{name}: may not be read; check its permissions")
