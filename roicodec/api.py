"""Encoding and decoding of files for programs.

Everything here is public, and is reached as ``roicodec.NAME``.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, BinaryIO, Literal

from roicodec.bitstream.constants import MAX_AREA, MAX_FRAMES
from roicodec.errors import InputError
from roicodec.video import Video

if TYPE_CHECKING:
    from fractions import Fraction

    from roicodec.encoder.options import EncoderOptions
    from roicodec.encoder.roi.given import Roi
    from roicodec.media.part import Time
    from roicodec.stream_info import StreamInfo
    from roicodec.transcode import DecodeReport, EncodeReport, Listener

__all__ = ["decode", "encode", "info", "open"]

Path = str | PathLike[str]


def open(
    source: Path | BinaryIO,
    *,
    errors: Literal["raise", "skip"] = "raise",
    backend: str | None = None,
    max_pixels: int = MAX_AREA,
    max_frames: int = MAX_FRAMES,
) -> Video:
    """The pictures of a stream; see :class:`~roicodec.video.Video` for arguments and errors."""
    return Video(
        source, errors=errors, backend=backend, max_pixels=max_pixels, max_frames=max_frames
    )


def encode(
    source: Path,
    out: Path | BinaryIO,
    options: EncoderOptions | None = None,
    *,
    roi: Roi | Sequence[Roi] | None = "auto",
    roi_share: float | None = None,
    roi_level: float | None = None,
    frames: slice | None = None,
    start: Time | None = None,
    duration: Time | None = None,
    end: Time | None = None,
    scale: str | None = None,
    crop: str | None = None,
    fps: float | Fraction | str | None = None,
    deinterlace: bool = False,
    audio: bool = True,
    subtitles: bool = True,
    tracks: Sequence[str] = (),
    strict: bool = False,
    allow_network: bool = False,
    backend: str | None = None,
    resume: bool = False,
    jobs: int | None = 1,
    cluster: str | None = None,
    two_pass: bool = False,
    listener: Listener | None = None,
) -> EncodeReport:
    """A video file as a stream, with its audio and other tracks.

    While a file is encoded to a path, finished segments are kept in the folder ``OUT.parts``
    beside it, which goes once the stream is complete.

    Args:
        source: path of a video that FFmpeg reads.
        out: path of the stream, which appears when it is complete and replaces a file of that
            name; or a binary file object, which need not be seekable.
        options: of the encoder; time base, frame rate and length are the source's.
        roi: region of interest, see :data:`~roicodec.encoder.roi.given.Roi`; several are united.
        roi_share, roi_level: for ``auto``: share of the picture (0..1), or saliency (0..1) from
            which a cell is ROI.
        frames: part of the video, by frame numbers.
        start, duration, end: part of the video, by the times at which pictures begin to be shown:
            seconds, or a text such as ``1:30.5``.
        scale, crop, fps, deinterlace: changes of the pictures, as
            :meth:`roicodec.media.filters.Filters.of` takes them: ``"720p"`` or ``"-1:360"``,
            ``"640:360"``, 25. Sizes and frame numbers are those after them.
        audio, subtitles: whether such tracks are taken.
        tracks: which tracks, as :meth:`roicodec.media.track_choice.TrackChoice.of` takes them:
            ``["a:1", "s"]``; none for all.
        strict: whether damage of the source is an error; else it is left out, with a warning.
        allow_network: whether ``source`` may be an address or a playlist.
        backend: of the networks; None for the fastest that is exact here.
        resume: whether to go on from the finished segments of an interrupted run.
        jobs: number of processes that encode; None for what cores and memory allow. The stream
            does not depend on it.
        cluster: address of a dask.distributed scheduler whose workers encode, instead.
        two_pass: whether the options' bit rate is met by what a first pass at least effort finds.
        listener: receiver of progress and warnings.

    Raises:
        InputError: if source, target, ROI or an option cannot be used, or an interrupted run has
            left segments and is not to be resumed.
        ModelError: if the networks are not there.
    """
    from roicodec.encoder.options import EncoderOptions
    from roicodec.media.filters import Filters
    from roicodec.media.part import Part
    from roicodec.media.track_choice import TrackChoice
    from roicodec.output import OutputFile
    from roicodec.segments.store import SegmentStore, parts_folder
    from roicodec.transcode import encode_video

    with contextlib.ExitStack() as opened:
        file: BinaryIO
        store = None
        if isinstance(out, str | PathLike):
            folder = parts_folder(fspath(out))
            store = opened.enter_context(SegmentStore(folder, resume=resume))
            file = opened.enter_context(OutputFile(fspath(out))).stream
        else:
            file = out
        return encode_video(
            fspath(source),
            file,
            options or EncoderOptions(),
            roi,
            roi_share=roi_share,
            roi_level=roi_level,
            frames=Part.of(frames, start, duration, end),
            filters=Filters.of(scale, crop, fps, deinterlace=deinterlace),
            tracks=TrackChoice.of(tracks, audio=audio, subtitles=subtitles),
            strict=strict,
            allow_network=allow_network,
            backend=backend,
            store=store,
            jobs=jobs,
            cluster=cluster,
            two_pass=two_pass,
            listener=listener,
        )


def decode(
    source: Path | BinaryIO,
    out: Path | BinaryIO,
    *,
    codec: str | None = None,
    crf: float | None = None,
    audio_codec: Literal["copy", "aac", "flac", "opus"] = "copy",
    format: str | None = None,
    frames: slice | None = None,
    start: Time | None = None,
    duration: Time | None = None,
    end: Time | None = None,
    overlay: bool = False,
    backend: str | None = None,
    max_pixels: int = MAX_AREA,
    max_frames: int = MAX_FRAMES,
    listener: Listener | None = None,
) -> DecodeReport:
    """A stream as a video file, with the tracks that its container can hold.

    Args:
        source: path of a stream, or a binary file object.
        out: path of the video: its suffix names the container (.mp4, .mkv, .mov, .webm, .ts, .avi,
            .nut, .y4m, .yuv); it appears when it is complete and replaces a file of that name.
            ``frame_%04d.png`` and the like are numbered images. Or a binary file object, which
            needs a ``format``, else takes y4m.
        codec, crf: video encoder by FFmpeg's name, and its quality; None for the container's usual.
        audio_codec: ``copy`` keeps audio as it is; the others code it again.
        format: of ``out``, as the suffix names it.
        frames: part of the video, by frame numbers.
        start, duration, end: part of the video, by the times at which pictures begin to be shown:
            seconds, or a text such as ``1:30.5``. Decoding begins at the intra frame before.
        overlay: whether ROI, bit-widths and quality of each frame are drawn over it.
        backend: of the networks; None for the fastest that is exact here.
        max_pixels, max_frames: limits for streams from strangers: largest picture in luma samples,
            which refuses the stream, and number of frames, beyond which none is decoded.
        listener: receiver of progress and warnings.

    Returns:
        numbers of decoded and lost frames; a damaged stream is decoded as far as it is sound.

    Raises:
        StreamError: if no frame at all can be decoded.
        InputError: if the target cannot be written, or the part is not there.
        ModelError: if the stream's networks are not there.
    """
    from roicodec.media.part import Part
    from roicodec.transcode import decode_stream

    with contextlib.ExitStack() as opened:
        file = opened.enter_context(_readable(source))
        return decode_stream(
            file, fspath(out) if isinstance(out, PathLike) else out, codec=codec, crf=crf,
            audio_codec=audio_codec, format=format, part=Part.of(frames, start, duration, end),
            overlay=overlay, backend=backend, max_pixels=max_pixels, max_frames=max_frames,
            listener=listener,
        )  # fmt: skip


def info(
    source: Path | BinaryIO, *, max_pixels: int = MAX_AREA, max_frames: int = MAX_FRAMES
) -> StreamInfo:
    """Size, timing, and bytes by part of a stream; needs no networks and no torch.

    Args:
        source: path of a stream, or a binary file object.
        max_pixels, max_frames: limits for streams from strangers: largest picture in luma samples,
            which refuses the stream, and number of frames, beyond which none is listed.

    Returns:
        the listing after reading the whole stream: ``header``, ``totals``, ``seconds()``,
        ``frame_list`` (one entry a frame), ``damages`` (messages).

    Raises:
        InputError: if the file cannot be opened.
        StreamError: if it is no stream, or its header is damaged.
    """
    from roicodec.bitstream.reader import StreamReader
    from roicodec.stream_info import StreamInfo

    with _readable(source) as file:
        reader = StreamReader(file, max_pixels=max_pixels, max_frames=max_frames)
        return StreamInfo(reader).read()


def _readable(source: Path | BinaryIO) -> contextlib.AbstractContextManager[BinaryIO]:
    if not isinstance(source, str | PathLike):
        return contextlib.nullcontext(source)
    try:
        return io.open(source, "rb")  # noqa: UP020 - open is a function of this module
    except OSError as error:
        message = f"{fspath(source)}: cannot be opened ({error.strerror})"
        raise InputError(message, parameter="source").at(source) from error
