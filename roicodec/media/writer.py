"""Writing: MP4, MOV or Matroska through FFmpeg, y4m or raw planes; whole or not at all."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

import av
from av.codec.codec import Codec, UnknownCodecError
from av.codec.context import CodecContext, Flags
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.rational import AVRational
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from roicodec.errors import InputError
from roicodec.media.convert import Scaler, filter_graph, picture_frame, run_graph
from roicodec.media.info import VideoInfo
from roicodec.media.tracks import Extras, TrackPacket, add_track
from roicodec.output import OutputFile
from roicodec.picture import Picture

__all__ = ["Target", "Writer"]

Target = str | os.PathLike[str] | BinaryIO
_CRF = 12
"""Where the loss of x264, x265, SVT-AV1 and libvpx cannot be seen."""
_MAX_CRF = 63
_QSCALE = 2 * 118
"""Finest quantizer of FFmpeg's own encoders that still makes sense (FF_QP2LAMBDA units)."""
_MUXERS = {"mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "matroska"}
_WRITE_ASPECT = {"libx264", "libx265", "ffv1", "mpeg4", "mpeg2video"}
_ASSUMED_RATE = Fraction(25)
_Y4M_LOCATION = {0: "420jpeg", 1: "420mpeg2", 2: "420jpeg", 3: "420paldv"}
_CLEAR = b"\0\0"
"""A mov_text packet that clears the screen: the MP4 muxer makes these itself, from durations."""
_LOCATION_OPTION = ["unspecified", "left", "center", "topleft", "top", "bottomleft", "bottom"]


class Writer:
    """Writes a video file that appears under its name only when it is complete.

    Use it as a context manager: leaving it normally finishes the file, leaving it by any
    exception, KeyboardInterrupt included, removes what was written.

    Args:
        target: a path that ends in ``.mp4``, ``.m4v``, ``.mov``, ``.mkv``, ``.y4m`` or ``.yuv``
            (it is replaced if it exists), ``-`` for y4m on standard output, or a binary file
            object, to which y4m goes unless ``format`` says otherwise.
        info: description of the pictures.
        extras: tracks whose packets will come, metadata and chapters.
        codec: FFmpeg's name of the video encoder; default ``libx264``.
        crf: quality for encoders that have it (lower is better); default 12, where the loss
            cannot be seen.
        threads: for encoding; 0 lets the encoder choose.
        format: ``mp4``, ``mov``, ``mkv``, ``y4m`` or ``yuv``; default: from the name.

    Attributes:
        warnings: one-line texts of what the output cannot hold; complete after closing.

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
    ) -> None:
        extras = extras or Extras()
        self.warnings: list[str] = []
        self._size = info.width, info.height
        format = format or _format_of(target)
        if format not in _MUXERS and format not in ("y4m", "yuv"):
            raise InputError(f"output format {format!r} is unknown; use mp4, mov, mkv, y4m or yuv")
        if format not in _MUXERS and (codec or crf is not None):
            raise InputError(f"{format} holds plain pictures; --codec and --crf do not apply")
        self._name, self._output = str(getattr(target, "name", "output")), ExitStack()
        try:
            if isinstance(target, str | os.PathLike):
                file = self._output.enter_context(OutputFile(os.fspath(target)))
                self._name, stream = file.name, file.stream
            else:
                stream = target
            with self._errors():
                self._sink: _Sink = (
                    _Muxer(
                        stream, _MUXERS[format], info, extras, codec or "libx264", crf, threads,
                        self.warnings,
                    )
                    if format in _MUXERS
                    else _Plain(stream, info, extras, format == "y4m", self.warnings)
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
        """Write the next picture; its ``pts`` must be larger than the one before."""
        if (picture.width, picture.height) != self._size:
            raise ValueError(f"picture of {picture.width}x{picture.height}, not {self._size}")
        with self._errors():
            self._sink.write(picture)

    def write_packet(self, packet: TrackPacket) -> None:
        """Write a packet of one of the tracks; dropped if the output cannot hold its track."""
        with self._errors():
            self._sink.write_packet(packet)

    def close(self) -> None:
        """Finish the file and give it its name."""
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
        """Remove what was written."""
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
    """Tells the output file that it is not to be kept."""


def _format_of(target: Target) -> str:
    if not isinstance(target, str | os.PathLike) or os.fspath(target) == "-":
        return "y4m"
    suffix = Path(target).suffix.lower().lstrip(".")
    if suffix not in _MUXERS and suffix not in ("y4m", "yuv"):
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


# --- pictures only ---------------------------------------------------------------------------


class _Plain:
    """y4m or raw planes: no time stamps, no other tracks."""

    def __init__(
        self, file: BinaryIO, info: VideoInfo, extras: Extras, y4m: bool, warnings: list[str]
    ) -> None:
        self._file, self._y4m, self._warnings = file, y4m, warnings
        self._time_base = info.time_base
        self._period = 1 / (info.frame_rate or _ASSUMED_RATE)
        self._first = self._count = 0
        self._even = True
        kind = "y4m" if y4m else "yuv"
        if extras.tracks:
            names = ", ".join(map(str, extras.tracks))
            warnings.append(f"{kind} holds pictures only; left out: {names}")
        if info.display_matrix is not None:
            warnings.append(
                f"{kind} cannot say how to turn the picture; the display matrix"
                f" ({info.rotation} degrees) is left out"
            )
        if y4m:
            if info.frame_rate is None:
                warnings.append(f"frame rate unknown; y4m says {float(_ASSUMED_RATE):g}")
            file.write(_y4m_header(info))

    def write(self, picture: Picture) -> None:
        if not self._count:
            self._first = picture.pts
        due = self._count * self._period
        late = (picture.pts - self._first) * self._time_base - due
        if self._even and abs(late) > self._period / 2:
            self._even = False
            self._warnings.append(
                "variable frame rate: y4m and yuv cannot keep the time stamps; use .mkv or .mp4"
            )
        self._count += 1
        if self._y4m:
            self._file.write(b"FRAME\n")
        for plane in picture.planes:
            self._file.write(plane.tobytes())

    def write_packet(self, packet: TrackPacket) -> None:
        pass

    def finish(self) -> None:
        pass

    def abort(self) -> None:
        pass


def _y4m_header(info: VideoInfo) -> bytes:
    rate = info.frame_rate or _ASSUMED_RATE
    aspect = info.sample_aspect_ratio
    fields = [
        f"YUV4MPEG2 W{info.width} H{info.height} F{rate.numerator}:{rate.denominator} Ip",
        f"A{aspect.numerator}:{aspect.denominator if aspect else 0}",
        "C" + _Y4M_LOCATION.get(info.chroma_location, "420jpeg"),
    ]
    if info.color_range:
        fields.append(f"XCOLORRANGE={('LIMITED', 'FULL')[info.color_range - 1]}")
    return (" ".join(fields) + "\n").encode("ascii")


# --- containers ------------------------------------------------------------------------------


class _Muxer:
    """A container with an encoded video track and the other tracks as they came."""

    def __init__(
        self, place: BinaryIO, format: str, info: VideoInfo, extras: Extras, codec: str,
        crf: float | None, threads: int, warnings: list[str],
    ) -> None:  # fmt: skip
        self._warnings = warnings
        self._info, self._extras = info, extras
        self._encoder = _Encoder(codec, crf, threads, info, warnings)
        kept = [i for i, _ in enumerate(extras.tracks) if self._can_hold(format, i)]
        self._out = _open_output(place, format, _muxer_options(format, info, extras))
        try:
            self._video = self._encoder.add_to(self._out, extras)
            self._tracks = {i: add_track(self._out, extras.tracks[i]) for i in kept}
            self._out.metadata.update(extras.metadata)
            self._out.set_chapters(
                [
                    {"id": c.id, "start": c.start, "end": c.end, "time_base": c.time_base,
                     "metadata": dict(c.metadata)}
                    for c in extras.chapters
                ]
            )  # fmt: skip
            try:
                self._out.start_encoding()
            except av.FFmpegError as error:
                raise InputError(
                    f"{codec} does not take these settings: {info.width}x{info.height}, time base"
                    f" {info.time_base}{'' if crf is None else f', crf {crf:g}'} ({error.strerror})"
                ) from error
        except BaseException:
            self.abort()
            raise
        self._last_dts: dict[int, int] = {}

    def _can_hold(self, format: str, index: int) -> bool:
        track = self._extras.tracks[index]
        try:
            if track.kind == "video" and format != "mp4":
                raise ValueError("only the MP4 muxer takes a still as the packet that it is")
            with _open_output(_Nowhere(), format, {"strict": "-2"}) as trial:
                add_track(trial, track)
                trial.start_encoding()
            return True
        except (av.FFmpegError, ValueError):
            if format == "matroska" and track.kind == "attachment":
                return True  # a file of attachments alone is refused, beside video it is not
            other = "mkv" if format != "matroska" else "mp4"
            self._warnings.append(
                f"{format} cannot hold the {track}; it is left out (.{other} may hold it)"
            )
            return False

    def write(self, picture: Picture) -> None:
        for packet in self._encoder.encode(picture):
            self._out.mux(packet)

    def write_packet(self, packet: TrackPacket) -> None:
        stream = self._tracks.get(packet.track)
        if stream is None:
            return
        track = self._extras.tracks[packet.track]
        if track.codec == "mov_text" and packet.data == _CLEAR:
            return
        copy = packet.to_av(stream, track.time_base)
        copy.rescale_ts(AVRational(stream.time_base or track.time_base))
        last = self._last_dts.get(packet.track)
        if copy.dts is not None:
            if last is not None and copy.dts <= last:
                copy.dts = last + 1
                copy.pts = max(copy.pts if copy.pts is not None else copy.dts, copy.dts)
                self._warn(f"{track}: time stamps do not increase; corrected")
            self._last_dts[packet.track] = copy.dts
        try:
            self._out.mux(copy)
        except (av.error.ArgumentError, av.error.InvalidDataError) as error:
            self._warn(f"{track}: packets that the output refuses are left out ({error.strerror})")

    def _warn(self, message: str) -> None:
        if message not in self._warnings:
            self._warnings.append(message)

    def finish(self) -> None:
        for packet in self._encoder.encode(None):
            self._out.mux(packet)
        self._out.close()

    def abort(self) -> None:
        with suppress(Exception):
            self._out.close()


class _Nowhere:
    """A file object that forgets what it is given."""

    def __init__(self) -> None:
        self._at = self._end = 0

    def write(self, data: bytes) -> int:
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def _open_output(place: object, format: str, options: dict[str, str]) -> OutputContainer:
    return av.open(
        place, "w", format=format, container_options=options, metadata_errors="surrogateescape"
    )


def _muxer_options(format: str, info: VideoInfo, extras: Extras) -> dict[str, str]:
    if format == "matroska":
        return {"default_mode": "passthrough", "strict": "-2", "avoid_negative_ts": "disabled"}
    # Edit lists count in the movie's time scale: one that fits every track keeps starts exact.
    scale = info.time_base.denominator
    movie = math.lcm(scale, *(t.sample_rate for t in extras.tracks if t.sample_rate))
    movie = movie if movie < 1 << 31 else scale
    return {
        "video_track_timescale": str(scale),
        "movie_timescale": str(movie),
        "strict": "-2",
    }


class _Encoder:
    """The video encoder and its settings."""

    def __init__(
        self, name: str, crf: float | None, threads: int, info: VideoInfo, warnings: list[str]
    ) -> None:
        self._name, self._info, self._threads = name, info, threads
        self._warnings = warnings
        codec = _video_codec(name)
        options = {o.name for o in CodecContext.create(codec, "w").supported_options.private}
        self._options = {"x265-params": "log-level=none"} if name == "libx265" else {}
        if name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it has no other switch
        self._options["chroma_sample_location"] = _LOCATION_OPTION[info.chroma_location]
        self._qscale = "crf" not in options
        if crf is not None and not 0 <= crf <= _MAX_CRF:
            raise InputError(f"--crf {crf:g} is not in 0..{_MAX_CRF}")
        if "crf" in options:
            self._options["crf"] = f"{_CRF if crf is None else crf:g}"
        elif crf is not None:
            kind = "is lossless" if codec.lossless and not codec.lossy else "has no such setting"
            raise InputError(f"--crf: {name} {kind}; leave it out")
        self._format = "yuv420p"
        self._scaler: Scaler | None = None
        self._aspect: Graph | None = None
        if name == "ffv1" and info.sample_aspect_ratio:
            # It takes the aspect from each frame, where PyAV cannot set it.
            self._aspect = filter_graph(
                "yuv420p", info.width, info.height, info.color_matrix, info.color_range,
                ("setsar", str(info.sample_aspect_ratio)),
            )  # fmt: skip
        if info.width % 2 or info.height % 2:
            self._fit_odd_size()

    def _fit_odd_size(self) -> None:
        """H.264 and H.265 cannot crop 4:2:0 to an odd size, but 4:4:4 they can."""
        if self._opens():
            return
        self._format = "yuv444p"
        if not self._opens():
            raise InputError(
                f"{self._name} cannot code the odd size {self._info.width}x{self._info.height};"
                " use --codec ffv1 with .mkv"
            )
        self._warnings.append(
            f"{self._name} cannot code {self._info.width}x{self._info.height} in 4:2:0; coded in"
            " 4:4:4, which some players do not show (--codec ffv1 with .mkv keeps 4:2:0)"
        )
        self._scaler = Scaler(
            VideoFormat("yuv420p"), self._info.width, self._info.height, "yuv444p", self._info
        )

    def _opens(self) -> bool:
        context = CodecContext.create(self._name, "w")
        assert isinstance(context, VideoCodecContext)
        self._configure(context)
        context.options = dict(self._options)
        try:
            context.open()
        except (av.FFmpegError, ValueError):
            return False
        return True

    def _configure(self, context: VideoCodecContext) -> None:
        info = self._info
        context.width, context.height = info.width, info.height
        context.pix_fmt = self._format
        context.time_base = info.time_base
        if info.frame_rate is not None:
            context.framerate = info.frame_rate
        if info.sample_aspect_ratio:
            context.sample_aspect_ratio = info.sample_aspect_ratio
        context.color_range = info.color_range
        context.colorspace = info.color_matrix
        context.color_primaries = info.color_primaries
        context.color_trc = info.color_transfer
        context.thread_count = self._threads
        context.flags |= Flags.frame_duration
        if self._qscale:
            context.qscale = True
            context.global_quality = _QSCALE

    def add_to(self, out: OutputContainer, extras: Extras) -> VideoStream:
        rate = self._info.frame_rate or _ASSUMED_RATE
        try:
            stream = out.add_stream(self._name, rate=rate, options=self._options)
        except ValueError as error:
            raise InputError(
                f"{out.format.name} cannot hold video by {self._name}; use another container or"
                " another codec"
            ) from error
        assert isinstance(stream, VideoStream)
        self._configure(stream.codec_context)
        if self._name == "libx265" and out.format.name != "matroska":
            stream.codec_context.codec_tag = "hvc1"  # the only one that Apple's players take
        stream.time_base = self._info.time_base
        stream.metadata.update(extras.video_metadata)
        stream.disposition = Disposition.default
        aspect = self._info.sample_aspect_ratio
        # PyAV cannot give it to the Matroska muxer; only these encoders write it themselves.
        stated = out.format.name != "matroska" or self._name in _WRITE_ASPECT
        if not stated and aspect not in (0, 1):
            self._warnings.append(
                f"{self._name} in .mkv cannot say that samples are {aspect} as wide as high;"
                " use .mp4, or --codec libx264"
            )
        if self._info.display_matrix is not None:
            stream.set_display_matrix(self._info.display_matrix)
        self._stream = stream
        return stream

    def encode(self, picture: Picture | None) -> Sequence[Packet[VideoStream]]:
        if picture is None:
            return self._stream.encode(None)
        frame = picture_frame(picture)
        if self._scaler is not None:
            frame = self._scaler(frame)
        info = self._info
        frame.color_range, frame.colorspace = info.color_range, info.color_matrix
        frame.color_primaries, frame.color_trc = info.color_primaries, info.color_transfer
        if self._aspect is not None:
            frame = run_graph(self._aspect, frame)
        frame.pts, frame.duration = picture.pts, picture.duration
        frame.time_base = info.time_base
        return self._stream.encode(frame)


def _video_codec(name: str) -> Codec:
    try:
        codec = Codec(name, "w")
    except UnknownCodecError as error:
        raise InputError(
            f"--codec {name}: no such encoder here; try libx264, libx265, libsvtav1 or ffv1"
        ) from error
    formats = codec.video_formats
    if codec.type != "video" or not formats or "yuv420p" not in {f.name for f in formats}:
        raise InputError(
            f"--codec {name} does not code 8-bit 4:2:0 video; try libx264, libx265 or ffv1"
        )
    return codec
