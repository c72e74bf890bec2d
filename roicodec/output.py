"""A file that appears under its name only when it is complete."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from roicodec.errors import InputError

__all__ = ["OutputFile", "discard_unfinished", "finished", "keep_parts", "kept_parts",
           "left_overs", "sync_folder"]  # fmt: skip

_LONGEST_NAME = 200
"""Bytes of a file name up to which its temporary name contains it."""
_SUFFIX = ".part"
_STANDARD_OUTPUT = "standard output"
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)
"""Errors of :func:`os.link` on a file system without hard links."""
_OTHER_NAMES = 100

_unfinished: set[Path] = set()
_finished: list[str] = []
_kept: dict[Path, Callable[[], int]] = {}


class OutputFile:
    """File with a hidden name in the target's folder; as a context manager, it gets the target's
    name at the end, or removes it when an exception passes through.

    The hidden file is locked while it is written, so that :func:`left_overs` can tell a file that
    a killed process has left from one in the making.

    Args:
        target: a path, or ``-`` for standard output.
        replace: whether a file of that name may be replaced. If not, one that appears before this
            one is complete is kept, and this one gets another name.

    Attributes:
        name: for messages.
        stream: binary, writable; seekable where the target is. What the system refuses to write is
            raised as :class:`~roicodec.errors.InputError`, except a broken pipe.

    Raises:
        InputError: if the target cannot be written, or another file has taken its name.
    """

    def __init__(self, target: str, *, replace: bool = True) -> None:
        self._final: Path | None = None
        self._replace = replace
        self.name = target
        self.stream: BinaryIO
        if target == "-":
            if sys.stdout.isatty():
                raise InputError("standard output is a terminal; pipe it, or give a file name")
            self.name, self.stream = _STANDARD_OUTPUT, sys.stdout.buffer
            return
        try:
            self._open(target, Path(os.path.realpath(target)))
        except OSError as error:
            raise InputError(f"{target}: cannot be written ({error.strerror})") from error

    def _open(self, target: str, final: Path) -> None:
        if final.is_dir():
            raise InputError(f"{target}: is a folder; give a file name")
        if not final.parent.is_dir():
            raise InputError(f"{target}: the folder {final.parent} does not exist")
        if final.exists() and not final.is_file():  # nothing is renamed over a device or a pipe
            self.stream = io.BufferedWriter(_Raw(final, target))
            return
        self._final = final
        self._path = final.with_name(_hidden_name(final.name, os.urandom(4).hex()))
        _unfinished.add(self._path)  # before it is there: a signal may come at any moment
        try:
            raw = _Raw(self._path, target)
        except OSError:
            _unfinished.discard(self._path)
            raise
        self.stream = io.BufferedWriter(raw)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException as failure:
            self._remove()
            if isinstance(failure, OSError) and not isinstance(failure, BrokenPipeError):
                reason = failure.strerror or failure
                raise InputError(f"{self.name}: cannot be written ({reason})") from failure
            raise
        if kind is not None:
            self._remove()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            standard = self.name == _STANDARD_OUTPUT
            if standard and not error.filename:
                raise InputError(f"{self.name}: cannot be written ({error.strerror})") from error

    def _finish(self) -> None:
        self.stream.flush()
        if self._final is None:
            return
        os.fsync(self.stream.fileno())
        if self._replace:
            self._path.replace(self._final)
        else:
            self._give_free_name(self._final)
        _finished.append(self.name)
        _unfinished.discard(self._path)
        self.stream.close()
        sync_folder(self._final.parent)

    def _give_free_name(self, final: Path) -> None:
        """Naming of the file, by a similar name if its own is taken.

        Raises:
            InputError: that tells the similar name.
        """
        if _renamed(self._path, final):
            return
        for number in range(1, _OTHER_NAMES):
            other = final.with_name(f"{final.stem}-{number}{final.suffix}")
            if _renamed(self._path, other):
                _unfinished.discard(self._path)
                raise InputError(
                    f"{self.name}: a file of this name has appeared meanwhile and is kept; the"
                    f" result is {other}"
                )
        raise InputError(f"{self.name}: a file of this name has appeared meanwhile and is kept")

    def _remove(self) -> None:
        if self._final is not None:
            with suppress(OSError, InputError):
                self.stream.close()
            self._path.unlink(missing_ok=True)
            _unfinished.discard(self._path)


class _Raw(io.FileIO):
    """A file whose writing fails with a message that names it."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, "w")
        self._target = name

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = f"cannot be written ({error.strerror})"
            raise InputError(f"{self._target}: {reason}") from error


def left_overs(target: str) -> list[tuple[Path, int]]:
    """Hidden files, and their sizes in bytes, that killed processes have left of ``target``."""
    final = Path(os.path.realpath(target))
    before, after = _hidden_name(final.name, "\0").split("\0")
    found = []
    with suppress(OSError):
        for path in final.parent.iterdir():
            name = path.name
            if name.startswith(before) and name.endswith(after):
                token = name[len(before) : -len(after)]
                if len(token) == 8 and path not in _unfinished and _is_abandoned(path):
                    found.append((path, path.stat().st_size))
    return found


def finished() -> list[str]:
    """Names of the files that this process has completed."""
    return list(_finished)


def keep_parts(folder: Path, count: Callable[[], int]) -> None:
    """Notice that finished segments in a folder, as many as ``count`` says, stay if this process
    ends."""
    _kept[folder] = count


def kept_parts() -> list[tuple[Path, int]]:
    """Folders of finished segments that stay, with their number."""
    return [(folder, number) for folder, count in _kept.items() if (number := count())]


def discard_unfinished() -> None:
    """Removal of every hidden file of this process, which is about to end at once."""
    for path in list(_unfinished):
        with suppress(OSError):
            path.unlink()


def _hidden_name(name: str, token: str) -> str:
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = "roicodec-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return f".{name}.{token}{_SUFFIX}"


def _is_abandoned(path: Path) -> bool:
    """Whether no process holds the lock of a hidden file."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _renamed(path: Path, name: Path) -> bool:
    """Renaming of a file unless the name is taken; False if it is."""
    try:
        os.link(path, name)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if name.exists():
            return False
        path.rename(name)
    else:
        path.unlink()
    return True


def sync_folder(folder: Path) -> None:
    """Durability of a rename, where the file system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
