"""Every error that a user can cause, each with a message that says what, where and what to do."""

__all__ = ["InputError", "ModelError", "RoicodecError", "StreamError"]


class RoicodecError(Exception):
    """Base of all errors that the command line prints as one line."""


class InputError(RoicodecError):
    """A file, option or ROI description cannot be used as it is."""


class StreamError(RoicodecError):
    """A ``.rq`` stream is damaged, truncated or of an unknown version."""


class ModelError(RoicodecError):
    """The networks that a stream or a command asks for are missing or do not fit."""
