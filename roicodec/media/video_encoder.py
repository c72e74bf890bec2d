"""The encoder of the video track, and its settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import av
from av.codec.codec import Codec, UnknownCodecError
from av.codec.context import CodecContext, Flags
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from roicodec.bitstream.color import LOCATIONS
from roicodec.errors import InputError
from roicodec.media.containers import MATROSKA, MOV
from roicodec.media.convert import Scaler, filter_graph, picture_frame, run_graph
from roicodec.media.info import ASSUMED_RATE, VideoInfo
from roicodec.media.properties import FIELD_ORDERS, light_options
from roicodec.picture import Picture

__all__ = ["AddVideo", "VideoEncoder"]

_CRF = 12
"""Quality (crf) at which the loss of x264, x265, SVT-AV1 and libvpx cannot be seen."""
_MAX_CRF = 63
_QSCALE = 2 * 118
"""Finest quantizer of FFmpeg's own encoders that still makes sense (FF_QP2LAMBDA units)."""
_FIELDS = {"tt": "top", "bb": "bottom"}
_INTERLACE = {"libx264", "mpeg2video", "mpeg4", "ffv1"}
"""Encoders that code pictures of two fields and say which of them comes first."""
_WRITE_ASPECT = {"libx264", "libx265", "ffv1", "mpeg4", "mpeg2video"}


AddVideo = Callable[[OutputContainer, Mapping[str, str], Sequence[int] | None], None]
"""Function that adds the video's stream to an output; see :meth:`VideoEncoder.add_to`."""


class VideoEncoder:
    """The video encoder and its settings.

    Args:
        name: FFmpeg's.
        crf, threads: as :class:`roicodec.media.Writer` takes them.
        info: description of the pictures.
        warnings: takes lines on what the encoder cannot state.
        reorder: whether pictures may be coded in another order than that of their times.

    Attributes:
        stream: that which was added last.
    """

    stream: VideoStream

    def __init__(
        self, name: str, crf: float | None, threads: int, info: VideoInfo, warnings: list[str],
        *, reorder: bool = True,
    ) -> None:  # fmt: skip
        self._name, self._info, self._threads = name, info, threads
        self._reorder = reorder
        self._warnings = warnings
        codec = _video_codec(name)
        options = {o.name for o in CodecContext.create(codec, "w").supported_options.private}
        self._options = {"x265-params": "log-level=none"} if name == "libx265" else {}
        if name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it has no other switch
        if name == "libvpx-vp9":
            self._options |= {"deadline": "good", "cpu-used": "5", "row-mt": "1"}
        self._options["chroma_sample_location"] = LOCATIONS[info.chroma_location]
        self._qscale = "crf" not in options
        if crf is not None and not 0 <= crf <= _MAX_CRF:
            raise InputError(f"crf {crf:g} is not in 0..{_MAX_CRF}", parameter="crf")
        if "crf" in options:
            self._options["crf"] = f"{_CRF if crf is None else crf:g}"
        elif crf is not None:
            kind = "is lossless" if codec.lossless and not codec.lossy else "has no such setting"
            raise InputError(f"crf: {name} {kind}; leave it out", parameter="crf")
        self._format = "yuv420p"
        self._scaler: Scaler | None = None
        self._set_light()
        self._interlaces = bool(info.field_order) and name in _INTERLACE
        if info.width % 2 or info.height % 2:
            self._fit_odd_size()
        if self._interlaces and not self._opens():  # x264: only rows that four divides
            self._interlaces = False
        if info.field_order and not self._interlaces:
            warnings.append(
                f"{name} cannot say that the pictures are interlaced"
                f" ({_FIELDS[info.field_order]} field first); they are coded as progressive ones"
            )
        self._filters = self._frame_filters()

    def _set_light(self) -> None:
        info = self._info
        if not (info.mastering_display or info.content_light):
            return
        found = light_options(self._name, info)
        if found is None:
            self._warnings.append(f"{self._name} cannot state the light of HDR10; it is left out")
            return
        option, value = found
        before = self._options.get(option)
        self._options[option] = f"{before}:{value}" if before else value

    def _frame_filters(self) -> Graph | None:
        """Properties that encoders take from each frame, where PyAV cannot set it."""
        info, filters = self._info, []
        if self._name == "ffv1" and (info.sample_aspect_ratio or self._interlaces):
            filters.append(("setsar", str(info.sample_aspect_ratio)))
        if self._interlaces:
            mode = {"tt": "tff", "bb": "bff"}[info.field_order]
            filters.append(("setfield", f"mode={mode}"))
        if not filters:
            return None
        return filter_graph(
            self._format, info.width, info.height, info.color_matrix, info.color_range, *filters
        )

    def _fit_odd_size(self) -> None:
        """H.264 and H.265 cannot crop 4:2:0 to an odd size, but 4:4:4 they can."""
        if self._opens():
            return
        self._format = "yuv444p"
        if not self._opens():
            raise InputError(
                f"{self._name} cannot code the odd size {self._info.width}x{self._info.height};"
                " use ffv1 with .mkv",
                parameter="codec",
            )
        self._warnings.append(
            f"{self._name} cannot code {self._info.width}x{self._info.height} in 4:2:0; coded in"
            " 4:4:4, which some players do not show (ffv1 with .mkv keeps 4:2:0)"
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
        if not self._reorder:
            context.max_b_frames = 0
        context.flags |= Flags.frame_duration
        if self._interlaces:
            context.field_order = FIELD_ORDERS[info.field_order]
            if self._name != "ffv1":
                context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        if self._qscale:
            context.qscale = True
            context.global_quality = _QSCALE

    def add_to(
        self, out: OutputContainer, metadata: Mapping[str, str], matrix: Sequence[int] | None
    ) -> None:
        """New video stream in ``out``, to which what is encoded from then on goes.

        Args:
            out: whose header is not yet written.
            metadata: of the track.
            matrix: the display matrix, as in :class:`roicodec.media.VideoInfo`.

        Raises:
            InputError: if the container cannot hold video of this codec.
        """
        rate = self._info.frame_rate or ASSUMED_RATE
        try:
            stream = out.add_stream(self._name, rate=rate, options=self._options)
        except ValueError as error:
            raise InputError(
                f"{out.format.name} cannot hold video by {self._name}; use another container or"
                " another codec"
            ) from error
        assert isinstance(stream, VideoStream)
        self._configure(stream.codec_context)
        if self._name == "libx265" and out.format.name in MOV:
            stream.codec_context.codec_tag = "hvc1"  # the only one that Apple's players take
        stream.time_base = self._info.time_base
        stream.metadata.update(metadata)
        stream.disposition = Disposition.default
        if out.format.name in MATROSKA and self._name not in _WRITE_ASPECT:
            self._warn_of_aspect()
        if matrix is not None:
            stream.set_display_matrix(matrix)
        self.stream = stream

    def copy_to(
        self, out: OutputContainer, metadata: Mapping[str, str], matrix: Sequence[int] | None
    ) -> None:
        """New stream in ``out`` for packets that are coded already; else as :meth:`add_to`."""
        copy = out.add_stream_from_template(self.stream, opaque=True)
        if self._name == "libx265" and out.format.name in MOV:
            copy.codec_context.codec_tag = "hvc1"
        copy.time_base = self._info.time_base
        copy.metadata.update(metadata)
        copy.disposition = Disposition.default
        if matrix is not None:
            copy.set_display_matrix(matrix)
        self.stream = copy

    def _warn_of_aspect(self) -> None:
        # PyAV cannot give it to the Matroska muxer; only some encoders write it themselves.
        aspect = self._info.sample_aspect_ratio
        message = (
            f"{self._name} in .mkv cannot say that samples are {aspect} as wide as high; use .mp4,"
            " or libx264"
        )
        if aspect not in (0, 1) and message not in self._warnings:
            self._warnings.append(message)

    def encode(self, picture: Picture | None) -> Sequence[Packet[VideoStream]]:
        if picture is None:
            return self.stream.encode(None)
        frame = picture_frame(picture)
        if self._scaler is not None:
            frame = self._scaler(frame)
        info = self._info
        frame.color_range, frame.colorspace = info.color_range, info.color_matrix
        frame.color_primaries, frame.color_trc = info.color_primaries, info.color_transfer
        if self._filters is not None:
            frame = run_graph(self._filters, frame)
        frame.pts, frame.duration = picture.pts, picture.duration
        frame.time_base = info.time_base
        return self.stream.encode(frame)


def _video_codec(name: str) -> Codec:
    try:
        codec = Codec(name, "w")
    except UnknownCodecError as error:
        raise InputError(
            f"{name}: no such encoder here; try libx264, libx265, libsvtav1 or ffv1",
            parameter="codec",
        ) from error
    formats = {f.name for f in codec.video_formats or ()} if codec.type == "video" else set()
    if "yuv420p" not in formats and name != "rawvideo":  # which lists none, and takes all
        raise InputError(
            f"{name} does not code 8-bit 4:2:0 video; try libx264, libx265 or ffv1",
            parameter="codec",
        )
    return codec
