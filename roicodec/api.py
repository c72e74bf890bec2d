"""Encoding and decoding for programs: files at once, or picture by picture.

Everything here is public, and is reached as ``roicodec.NAME``.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, BinaryIO, Literal

from roicodec.bitstream.constants import MAX_AREA, MAX_FRAMES
from roicodec.errors import InputError, StreamError
from roicodec.video import DecodedPicture, Video

if TYPE_CHECKING:
    from roicodec.bitstream.header import Header
    from roicodec.decoder.decoder import FrameDecoder
    from roicodec.encoder.options import EncoderOptions
    from roicodec.encoder.roi.given import Roi
    from roicodec.media.part import Time
    from roicodec.picture import Picture
    from roicodec.stream_info import StreamInfo
    from roicodec.transcode import DecodeReport, EncodeReport, Listener

__all__ = ["Decoder", "Encoder", "decode", "encode", "info", "open"]

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
    strict: bool = False,
    allow_network: bool = False,
    backend: str | None = None,
    resume: bool = False,
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
        strict: whether damage of the source is an error; else it is left out, with a warning.
        allow_network: whether ``source`` may be an address or a playlist.
        backend: of the networks; None for the fastest that is exact here.
        resume: whether to go on from the finished segments of an interrupted run.
        listener: receiver of progress and warnings.

    Raises:
        InputError: if source, target, ROI or an option cannot be used, or an interrupted run has
            left segments and is not to be resumed.
        ModelError: if the networks are not there.
    """
    from roicodec.encoder.options import EncoderOptions
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
            frames=frames,
            strict=strict,
            allow_network=allow_network,
            backend=backend,
            store=store,
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


class Encoder:
    """Pictures to the bytes of a stream, push and pull.

    ``b"".join`` of all that :meth:`encode` returns, up to the call with None, is a whole ``.rq``
    file::

        encoder = roicodec.Encoder(640, 360, roi=lambda picture: picture.y > 200)
        with open("a.rq", "wb") as file:
            for picture in [*pictures, None]:
                file.writelines(encoder.encode(picture))

    Args:
        width, height: size of the pictures in luma samples, 16..4096 each, at most 4096 * 2304
            together.
        options: of the encoder; ``time_base`` is what the pictures' pts count in.
        roi: region of interest, see :data:`~roicodec.encoder.roi.given.Roi`; several are united.
        color_matrix, color_primaries, color_transfer: code points of ITU-T H.273 that the pictures
            have; 2 when unknown.
        color_range: 0 unknown, 1 limited, 2 full.
        backend: of the networks; None for the fastest that is exact here.

    Raises:
        InputError: if the size, the ROI or an option cannot be used.
        ModelError: if the networks are not there.
    """

    def __init__(
        self,
        width: int,
        height: int,
        options: EncoderOptions | None = None,
        *,
        roi: Roi | Sequence[Roi] | None = "auto",
        color_matrix: int = 2,
        color_primaries: int = 2,
        color_transfer: int = 2,
        color_range: int = 0,
        backend: str | None = None,
    ) -> None:
        from roicodec import __version__
        from roicodec.bitstream.header import Header
        from roicodec.bitstream.writer import StreamWriter
        from roicodec.decoder.model import load_model
        from roicodec.encoder.encoder import FrameEncoder
        from roicodec.encoder.options import EncoderOptions
        from roicodec.encoder.roi.given import roi_source
        from roicodec.segments.encoder import segmented

        options = options or EncoderOptions()
        self._roi = roi_source(roi, width, height)
        model = load_model(backend=backend)
        self._encoder = segmented(
            lambda options, roi: FrameEncoder(width, height, options, roi, model),
            options,
            self._roi,
        )
        self._pieces = _Pieces()
        self.header: Header = Header(
            width=width,
            height=height,
            gop=options.gop,
            time_base=options.time_base,
            frame_rate=options.frame_rate,
            color_matrix=color_matrix,
            color_primaries=color_primaries,
            color_transfer=color_transfer,
            color_range=color_range,
            encoder=f"roicodec {__version__}",
            **self._encoder.header_fields,
        )
        self._writer = StreamWriter(self._pieces, self.header)
        self._finished = False

    def encode(self, picture: Picture | None) -> list[bytes]:
        """Bytes that are ready, in order.

        Args:
            picture: the next one, in presentation order; None at the end.

        Raises:
            InputError: if its size is another, a ROI source has no mask for it, or the stream has
                been finished.
        """
        if self._finished:
            raise InputError("the stream is finished; a new one needs a new Encoder")
        for chunk in self._encoder.encode(picture):
            self._writer.write_frame(chunk)
        if picture is None:
            self._finished = True
            self._writer.close()
            self._roi.close()
        return self._pieces.taken()


class Decoder:
    """The bytes of a stream to pictures, push and pull.

    Args:
        backend: of the networks; None for the fastest that is exact here.
        max_pixels, max_frames: limits for streams from strangers: largest picture in luma samples,
            and number of frames; beyond them the stream is refused.

    Attributes:
        header: of the stream; None until its bytes have come.
    """

    def __init__(
        self,
        *,
        backend: str | None = None,
        max_pixels: int = MAX_AREA,
        max_frames: int = MAX_FRAMES,
    ) -> None:
        from roicodec.bitstream.feed import ChunkFeed

        self._max_pixels, self._max_frames = max_pixels, max_frames
        self._feed = ChunkFeed()
        self._backend = backend
        self._decoder: FrameDecoder | None = None

    @property
    def header(self) -> Header | None:
        """Header of the stream; None until its bytes have come."""
        return self._feed.header

    def decode(self, data: bytes | None) -> list[DecodedPicture]:
        """Pictures that are ready, in presentation order.

        Args:
            data: the next bytes of the stream, any number; None at the end.

        Raises:
            StreamError: if they are damaged, a frame cannot be decoded, or a limit is met; with
                ``offset`` and ``frame``.
            ModelError: if the stream's networks are not there.
        """
        from roicodec.bitstream.chunks import FRAME
        from roicodec.bitstream.frame_chunk import FrameChunk
        from roicodec.bitstream.reader import check_frame

        found: list[DecodedPicture] = []
        for chunk in self._feed.feed(data) if data is not None else ():
            header = self._feed.header
            if chunk.type != FRAME or header is None:
                continue
            number, frame, _ = FrameChunk.unpack(chunk.payload, header)
            try:
                check_frame(number, self._max_frames)
                decoded = self._frame_decoder(header).decode(frame, number)
            except StreamError as error:
                raise error.at(frame=number, offset=chunk.offset)  # noqa: B904 - the same error
            found += [DecodedPicture.of(d, header) for d in decoded]
        if data is None and self._decoder is not None and self._feed.header is not None:
            found += [DecodedPicture.of(d, self._feed.header) for d in self._decoder.decode(None)]
        return found

    def _frame_decoder(self, header: Header) -> FrameDecoder:
        if self._decoder is None:
            from roicodec.bitstream.reader import check_size
            from roicodec.decoder.decoder import FrameDecoder
            from roicodec.decoder.model import load_model

            check_size(header, self._max_pixels)
            self._decoder = FrameDecoder(header, load_model(backend=self._backend))
        return self._decoder


class _Pieces(io.BytesIO):
    """A file object whose content can be taken."""

    def taken(self) -> list[bytes]:
        """Bytes written since the last call, in one piece; an empty list without any."""
        data = self.getvalue()
        self.seek(0)
        self.truncate()
        return [data] if data else []
