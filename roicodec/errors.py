"""Every error that a user can cause, each with a message that says what, where and what to do."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Self

__all__ = ["InputError", "ModelError", "ReferenceLost", "RoicodecError", "StreamError"]


class RoicodecError(Exception):
    """Base of all errors that the command line prints as one line.

    Attributes:
        path: the file that it is about; None where there is none.
        frame: number of the frame in its stream or video, from 0; None where it is about no frame.
        offset: byte offset in the stream; None where it is about no place.
        parameter: name of the argument that would change it, as ``frames`` or ``crf``; None where
            none does.
    """

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.path: str | None = None
        self.frame: int | None = None
        self.offset: int | None = None
        self.parameter = parameter

    def at(
        self,
        path: str | PathLike[str] | None = None,
        *,
        frame: int | None = None,
        offset: int | None = None,
    ) -> Self:
        """This error, with what is not known yet of its place filled in."""
        self.path = self.path if path is None or self.path is not None else fspath(path)
        self.frame = frame if self.frame is None else self.frame
        self.offset = offset if self.offset is None else self.offset
        return self


class InputError(RoicodecError):
    """A file, option or ROI description cannot be used as it is."""


class StreamError(RoicodecError):
    """A ``.rq`` stream is damaged, truncated or of an unknown version."""


class ReferenceLost(StreamError):
    """A frame cannot be decoded because one that it refers to could not."""


class ModelError(RoicodecError):
    """The networks that a stream or a command asks for are missing or do not fit."""
