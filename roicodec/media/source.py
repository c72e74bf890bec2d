"""Sources of videos: files, pipes, file objects; network addresses if allowed."""

from __future__ import annotations

import os
import queue
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeVar

import av
from av.container import InputContainer
from av.format import ContainerFormat

from roicodec.errors import InputError

__all__ = ["Opened", "Source", "open_container", "open_source"]

Source = str | os.PathLike[str] | BinaryIO
_T = TypeVar("_T")
_TIMEOUT = 30.0
"""Seconds that an address may keep silent."""
_LEADS_ELSEWHERE = {
    "concat", "hls", "rtp", "rtsp", "sap", "sdp", "vobsub", "webm_dash_manifest",
}  # fmt: skip
"""Formats whose files name other files or addresses, which FFmpeg then opens."""
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"v=0\r\n", b"v=0\n")


@cache
def _self_contained() -> str:
    """FFmpeg's names of the formats that are read from local files."""
    return ",".join(
        name
        for name in sorted(av.formats_available)
        if ContainerFormat(name).is_input and name not in _LEADS_ELSEWHERE
    )


class _Patient:
    """Thread that runs calls, so that the caller can be interrupted while they wait.

    PyAV drops what a signal handler raises inside of a read, and FFmpeg repeats interrupted reads;
    handlers run in the main thread, and are heard there while it waits for this one.

    Attributes:
        abandoned: whether a caller was interrupted; a call may then go on for ever.
    """

    def __init__(self) -> None:
        self.abandoned = False
        self._calls: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[object, BaseException | None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True, name="source").start()

    def call(self, function: Callable[[], _T]) -> _T:
        """``function()``, or what it raises."""
        self._calls.put(function)
        try:
            result, error = self._results.get()
        except BaseException:
            self.abandoned = True
            raise
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def end(self) -> None:
        self._calls.put(None)

    def _run(self) -> None:
        while (function := self._calls.get()) is not None:
            try:
                self._results.put((function(), None))
            except BaseException as error:
                self._results.put((None, error))
            del function


class _Metered:
    """A file that is read from start to end; counts."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.count = 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data


class Opened:
    """An open source.

    Attributes:
        name: for messages.
        container: to be used through :meth:`call` only.
    """

    def __init__(
        self, name: str, opener: Callable[[], InputContainer], patient: _Patient | None = None,
        meter: _Metered | None = None,
    ) -> None:  # fmt: skip
        self.name, self._patient, self._meter = name, patient, meter
        self.container = self.call(opener)

    def call(self, function: Callable[[], _T]) -> _T:
        """``function()``, which may wait for the source."""
        return function() if self._patient is None else self._patient.call(function)

    @property
    def size(self) -> int | None:
        """Bytes of the source as far as is known: of a pipe, those that have come."""
        if self._meter is not None:
            return self._meter.count
        with suppress(av.FFmpegError, OSError, AssertionError):
            size = self.container.size
            return size if size > 0 else None
        return None

    def close(self) -> None:
        """End of the source, unless a call still waits for it."""
        if self._patient is None:
            self.container.close()
        elif not self._patient.abandoned:
            self._patient.call(self.container.close)
            self._patient.end()


def open_source(source: Source, allow_network: bool = False) -> Opened:
    """Opened video.

    Args:
        source: a path, ``-`` for standard input, a binary file object, or an address.
        allow_network: whether addresses and playlists may be opened.

    Raises:
        InputError: if there is nothing to read, or FFmpeg cannot read it.
    """
    if not isinstance(source, str | os.PathLike):
        name = str(getattr(source, "name", "input"))
        return _open(name, lambda: open_container(source))
    name = os.fspath(source)
    if name == "-":
        if sys.stdin.isatty():
            raise InputError("standard input is a terminal; give a file or pipe a video in")
        buffer = sys.stdin.buffer
        return _open_pipe("standard input", getattr(buffer, "raw", buffer))
    path = Path(name)
    if "://" in name and not path.exists():
        if not allow_network:
            raise InputError(
                f"{name}: is an address, and only files and pipes may be opened",
                parameter="allow_network",
            )
        return _open(name, lambda: open_container(name, allow_network=True), _Patient())
    _check_file(name, path)
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        return _open_pipe(name, path)
    return _open(name, lambda: open_container(name, allow_network))


def open_container(source: str | BinaryIO, allow_network: bool = False) -> InputContainer:
    """A container of FFmpeg that does not lead to other files.

    Args:
        source: a path or file object; with ``allow_network`` also an address.
        allow_network: whether playlists and what they name may be opened as well.

    Raises:
        av.FFmpegError: if it cannot be read.
    """
    if allow_network:
        if isinstance(source, str) and Path(source).exists():
            source = f"file:{source}"
        return av.open(source, "r", metadata_errors="surrogateescape", timeout=_TIMEOUT)
    options = {"format_whitelist": _self_contained(), "protocol_whitelist": "file"}
    if isinstance(source, str):
        source = f"file:{source}"  # so that a colon in the name is not taken for a protocol
    return av.open(source, "r", container_options=options, metadata_errors="surrogateescape")


def _open_pipe(name: str, file: Path | BinaryIO) -> Opened:
    patient = _Patient()
    if isinstance(file, Path):
        path = file
        file = patient.call(lambda: path.open("rb", buffering=0))
    meter = _Metered(file)
    return _open(name, lambda: open_container(meter), patient, meter)  # type: ignore[arg-type]


def _open(
    name: str, opener: Callable[[], InputContainer], patient: _Patient | None = None,
    meter: _Metered | None = None,
) -> Opened:  # fmt: skip
    try:
        return Opened(name, opener, patient, meter)
    except (av.FFmpegError, OSError) as error:
        parameter = None
        if name.lower().endswith(".yuv"):
            message = "raw video does not tell its size or format; convert it to .y4m first"
        elif _is_playlist(name):
            message = "is a playlist, which leads to other files or addresses"
            parameter = "allow_network"
        else:
            message = f"not a video that FFmpeg can read ({error.strerror or error})"
        raise InputError(f"{name}: {message}", parameter=parameter) from error


def _is_playlist(name: str) -> bool:
    with suppress(OSError, ValueError):
        path = Path(name)
        if path.is_file():
            with path.open("rb") as file:
                return file.read(16).startswith(_PLAYLISTS)
    return False


def _check_file(name: str, path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{name}: is a folder, not a video")
    if not path.exists() and "%" not in name:
        raise InputError(f"{name}: no such file")
    if path.exists() and not os.access(path, os.R_OK):
        raise InputError(f"{name}: may not be read; check its permissions")
