"""A file that appears under its name only when it is complete."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from roicodec.errors import InputError

__all__ = ["OutputFile"]


class OutputFile:
    """Writes under a hidden name beside the target; as a context manager, gives it the target's
    name at the end, or removes it when an exception passes through.

    Args:
        target: a path, or ``-`` for standard output.

    Attributes:
        name: for messages.
        stream: binary, writable.

    Raises:
        InputError: if the target cannot be written.
    """

    def __init__(self, target: str) -> None:
        self._final: Path | None = None
        self.name = target
        self.stream: BinaryIO
        if target == "-":
            if sys.stdout.isatty():
                raise InputError("standard output is a terminal; pipe it, or give a file name")
            self.name, self.stream = "standard output", sys.stdout.buffer
            return
        final = Path(os.path.realpath(target))
        if final.is_dir():
            raise InputError(f"{target}: is a folder; give a file name")
        if not final.parent.is_dir():
            raise InputError(f"{target}: the folder {final.parent} does not exist")
        self._path = final
        if not final.exists() or final.is_file():  # nothing is renamed over a device or a pipe
            self._final = final
            self._path = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
        try:
            self.stream = self._path.open("wb")
        except OSError as error:
            raise InputError(f"{target}: cannot be written ({error.strerror})") from error

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
                self.stream.flush()
                if self._final is not None:
                    self.stream.close()
                    self._path.replace(self._final)
        except OSError as failure:
            self._remove()
            if isinstance(failure, BrokenPipeError):
                raise
            raise InputError(f"{self.name}: cannot be written ({failure.strerror})") from failure
        if kind is not None:
            self._remove()

    def _remove(self) -> None:
        if self._final is not None:
            with suppress(OSError):
                self.stream.close()
            self._path.unlink(missing_ok=True)
