"""Writing: containers through FFmpeg, y4m, raw planes, images; whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

import av

from roicodec.errors import InputError
from roicodec.media.audio import AUDIO_CODECS
from roicodec.media.containers import MUXERS
from roicodec.media.extras import Extras
from roicodec.media.images import ImageSink
from roicodec.media.info import IMAGES, VideoInfo
from roicodec.media.muxer import Muxer
from roicodec.media.plain import PlainSink
from roicodec.media.tracks import Problems, TrackPacket
from roicodec.output import OutputFile
from roicodec.picture import Picture

__all__ = ["FORMATS", "Target", "Writer"]

Target = str | os.PathLike[str] | BinaryIO
FORMATS = (*MUXERS, "y4m", "yuv")
"""Formats by the ending of a file's name."""
_ALIASES = {"matroska": "mkv", "mpegts": "ts", "yuv4mpeg": "y4m", "yuv4mpegpipe": "y4m"}
_RAW = {"mkv", "nut"}
"""Formats that hold samples as they are."""


class Writer:
    """Writer of a video file that appears under its name only when it is complete.

    Use it as a context manager: leaving it normally finishes the file, leaving it by any
    exception, KeyboardInterrupt included, removes what was written.

    Args:
        target: a path that ends in one of :data:`FORMATS`, or, with a place for numbers such as
            ``%04d``, in the ending of an image; ``-`` for standard output; or a binary file object.
            To these two y4m goes unless ``format`` says otherwise.
        info: description of the pictures.
        extras: tracks whose packets will come, metadata and chapters.
        codec: FFmpeg's name of the video encoder; default ``libx264``, in WebM ``libvpx-vp9``, and
            ``rawvideo`` on standard output.
        crf: quality for encoders that have it (lower is better); default 12, where the loss
            cannot be seen.
        threads: for encoding; 0 lets the encoder choose.
        format: one of :data:`FORMATS`, or FFmpeg's name of it; default: from the name.
        audio_codec: ``copy`` keeps audio as it is; ``aac``, ``flac`` or ``opus`` transcodes it.
        replace: whether an existing file may be replaced, as in
            :class:`~roicodec.output.OutputFile`.

    Attributes:
        warnings: one-line texts of what the output cannot hold; complete after closing.
        problems: lines on tracks, packets, tags, chapters or time stamps that are damaged and
            were left out or corrected; complete after closing.

    Raises:
        InputError: on construction if the target, codec or crf cannot be used; later if the
            output cannot be written.
        BrokenPipeError: if the reader of standard output has gone.
    """

    def __init__(
        self,
        target: Target,
        info: VideoInfo,
        extras: Extras | None = None,
        codec: str | None = None,
        crf: float | None = None,
        threads: int = 0,
        format: str | None = None,
        *,
        audio_codec: str = "copy",
        replace: bool = True,
    ) -> None:
        extras = extras or Extras()
        self._sink: _Sink
        self.warnings: list[str] = []
        self.problems = Problems()
        self._size = info.width, info.height
        format = _format_of(target) if format is None else _ALIASES.get(format, format)
        if format not in FORMATS and format not in IMAGES:
            known = ", ".join(FORMATS)
            raise InputError(f"output format {format!r} is unknown; use one of {known}")
        if audio_codec not in AUDIO_CODECS:
            raise InputError(
                f"audio codec {audio_codec!r} is unknown; use {', '.join(AUDIO_CODECS)}",
                parameter="audio_codec",
            )
        piped = isinstance(target, str | os.PathLike) and os.fspath(target) == "-"
        if format not in MUXERS and (codec or crf is not None or audio_codec != "copy"):
            raise InputError(
                f"{format} holds plain pictures; codecs and crf do not apply",
                parameter="codec" if codec else "crf" if crf is not None else "audio_codec",
            )
        self._name, self._output = str(getattr(target, "name", "output")), ExitStack()
        if format in IMAGES:
            if not isinstance(target, str | os.PathLike):
                raise InputError("images need a name to be numbered, as in out_%04d.png")
            self._name = os.fspath(target)
            self._sink = ImageSink(self._name, info, extras, replace, self.warnings)
            self._open = True
            return
        try:
            if isinstance(target, str | os.PathLike):
                file = self._output.enter_context(OutputFile(os.fspath(target), replace=replace))
                self._name, stream = file.name, file.stream
            else:
                stream = target
            with self._errors():
                self._sink = (
                    Muxer(
                        stream, MUXERS[format], info, extras,
                        codec or _usual_codec(format, piped, crf), crf, threads,
                        audio_codec, self.warnings, self.problems,
                    )
                    if format in MUXERS
                    else PlainSink(stream, info, extras, format == "y4m", self.warnings)
                )  # fmt: skip
        except BaseException:
            self._discard()
            raise
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, picture: Picture) -> None:
        """Next picture to write; its ``pts`` must be larger than the one before."""
        if (picture.width, picture.height) != self._size:
            raise ValueError(f"picture of {picture.width}x{picture.height}, not {self._size}")
        with self._errors():
            self._sink.write(picture)

    def write_packet(self, packet: TrackPacket) -> None:
        """Next packet of one of the tracks; dropped if the output cannot hold its track."""
        with self._errors():
            self._sink.write_packet(packet)

    def close(self) -> None:
        """End of the file, which then gets its name."""
        if not self._open:
            return
        try:
            with self._errors():
                self._sink.finish()
        except BaseException:
            self.abort()
            raise
        self._open = False
        self._output.close()

    def abort(self) -> None:
        """Removal of what was written."""
        if self._open:
            self._open = False
            self._sink.abort()
            self._discard()

    def _discard(self) -> None:
        with suppress(_Abandoned), self._output:
            raise _Abandoned

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns what the system or FFmpeg says into an :class:`InputError`."""
        try:
            yield
        except BrokenPipeError:
            raise
        except (av.FFmpegError, OSError) as error:
            reason = error.strerror or str(error)
            raise InputError(f"{self._name}: cannot be written ({reason})") from error


class _Abandoned(Exception):
    """Signal to the output file that it is not to be kept."""


def _format_of(target: Target) -> str:
    if not isinstance(target, str | os.PathLike) or os.fspath(target) == "-":
        return "y4m"
    suffix = Path(target).suffix.lower().lstrip(".")
    if suffix not in FORMATS and suffix not in IMAGES:
        raise InputError(
            f"{target}: cannot tell the format from the name; use .mp4, .mov, .mkv, .webm, .ts,"
            " .avi, .y4m, .yuv, images as in out_%04d.png, or - for y4m on standard output"
        )
    return suffix


def _usual_codec(format: str, piped: bool, crf: float | None) -> str:
    """The video encoder where none is asked for; a player at a pipe needs no compression."""
    if format == "webm":
        return "libvpx-vp9"
    return "rawvideo" if piped and format in _RAW and crf is None else "libx264"


class _Sink(Protocol):
    def write(self, picture: Picture) -> None: ...
    def write_packet(self, packet: TrackPacket) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...
