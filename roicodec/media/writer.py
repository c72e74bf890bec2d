"""Writing: MP4, MOV or Matroska through FFmpeg, y4m or raw planes; whole or not at all."""

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
from roicodec.media.info import VideoInfo
from roicodec.media.muxer import Muxer
from roicodec.media.plain import PlainSink
from roicodec.media.tracks import Problems, TrackPacket
from roicodec.output import OutputFile
from roicodec.picture import Picture

__all__ = ["Target", "Writer"]

Target = str | os.PathLike[str] | BinaryIO


class Writer:
    """Writer of a video file that appears under its name only when it is complete.

    Use it as a context manager: leaving it normally finishes the file, leaving it by any
    exception, KeyboardInterrupt included, removes what was written.

    Args:
        target: a path that ends in ``.mp4``, ``.m4v``, ``.mov``, ``.mkv``, ``.y4m`` or ``.yuv``;
            ``-`` for y4m on standard output; or a binary file object, to which y4m goes unless
            ``format`` says otherwise.
        info: description of the pictures.
        extras: tracks whose packets will come, metadata and chapters.
        codec: FFmpeg's name of the video encoder; default ``libx264``.
        crf: quality for encoders that have it (lower is better); default 12, where the loss
            cannot be seen.
        threads: for encoding; 0 lets the encoder choose.
        format: ``mp4``, ``mov``, ``mkv``, ``y4m`` or ``yuv``; default: from the name.
        audio_codec: ``copy`` keeps audio as it is; ``aac`` or ``flac`` transcodes it.
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
        self.warnings: list[str] = []
        self.problems = Problems()
        self._size = info.width, info.height
        format = format or _format_of(target)
        if format not in MUXERS and format not in ("y4m", "yuv"):
            raise InputError(f"output format {format!r} is unknown; use mp4, mov, mkv, y4m or yuv")
        if audio_codec not in AUDIO_CODECS:
            raise InputError(
                f"audio codec {audio_codec!r} is unknown; use copy, aac or flac",
                parameter="audio_codec",
            )
        if format not in MUXERS and (codec or crf is not None or audio_codec != "copy"):
            raise InputError(
                f"{format} holds plain pictures; codecs and crf do not apply",
                parameter="codec" if codec else "crf" if crf is not None else "audio_codec",
            )
        self._name, self._output = str(getattr(target, "name", "output")), ExitStack()
        try:
            if isinstance(target, str | os.PathLike):
                file = self._output.enter_context(OutputFile(os.fspath(target), replace=replace))
                self._name, stream = file.name, file.stream
            else:
                stream = target
            with self._errors():
                self._sink: _Sink = (
                    Muxer(
                        stream, MUXERS[format], info, extras, codec or "libx264", crf, threads,
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
    if suffix not in MUXERS and suffix not in ("y4m", "yuv"):
        raise InputError(
            f"{target}: cannot tell the format from the name; use .mp4, .mov, .mkv, .y4m, .yuv,"
            " or - for y4m on standard output"
        )
    return suffix


class _Sink(Protocol):
    def write(self, picture: Picture) -> None: ...
    def write_packet(self, packet: TrackPacket) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...
