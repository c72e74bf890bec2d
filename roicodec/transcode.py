"""Transcoding of a video file to a stream and back, frame by frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from roicodec import __version__
from roicodec.bitstream.chunks import PACKET, TRACK, Chunk, Damage
from roicodec.bitstream.constants import MAX_AREA, MAX_CHUNK, MAX_FRAMES
from roicodec.bitstream.header import Header
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.errors import ReferenceLost, StreamError
from roicodec.factory import (
    CodecFactory,
    Coded,
    Decoded,
    NetworkFactory,
    PictureDecoder,
    PictureEncoder,
)
from roicodec.media import Extras, Problems, Reader, TrackPacket, VideoInfo, Writer
from roicodec.media.properties import with_properties
from roicodec.warning_limit import WarningLimit

if TYPE_CHECKING:
    from roicodec.bitstream.frame_chunk import FrameChunk
    from roicodec.encoder.options import EncoderOptions
    from roicodec.encoder.roi.given import Roi

__all__ = ["DecodeReport", "EncodeReport", "Listener", "decode_stream", "encode_video"]


class Listener:
    """Receiver of progress and warnings; this one ignores them."""

    def start(self, total: int | None) -> None:
        """Frames are about to come, ``total`` of them as far as is known."""

    def frame(self, done: int) -> None:
        """``done`` frames are finished."""

    def size(self, size: int) -> None:
        """``size`` bytes are written so far; before each :meth:`frame` of an encode."""

    def warn(self, message: str) -> None:
        """One line about something that the user may not expect."""


@dataclass(slots=True)
class _Report:
    frames: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(slots=True)
class EncodeReport(_Report):
    """Result of encoding a file.

    Attributes:
        frames: number of frames.
        seconds, cpu_seconds: time taken, reading included; of the clock and of all cores.
        bytes: of the whole stream.
        video_bytes: of the frame chunks alone.
        duration: of the video, seconds; 0 when unknown.
    """

    bytes: int = 0
    video_bytes: int = 0
    duration: float = 0.0


@dataclass(slots=True)
class DecodeReport(_Report):
    """Result of decoding a file.

    Attributes:
        frames: number of frames written.
        seconds, cpu_seconds: time taken, writing included; of the clock and of all cores.
        lost: frames that were missing, damaged, or could not be decoded for want of another.
        truncated: whether the stream ends before its trailer, so that more may be missing.
        damages: number of places where the stream is not as it was written.
    """

    lost: int = 0
    truncated: bool = False
    damages: int = 0


@dataclass(slots=True)
class _Clock:
    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)

    def stop(self, report: _Report) -> None:
        report.seconds = time.perf_counter() - self.wall
        report.cpu_seconds = time.process_time() - self.cpu


def encode_video(
    source: str,
    out: BinaryIO,
    options: EncoderOptions,
    roi: Roi | Sequence[Roi] | None = "auto",
    *,
    roi_share: float | None = None,
    roi_level: float | None = None,
    frames: slice | None = None,
    backend: str | None = None,
    threads: int = 0,
    strict: bool = False,
    allow_network: bool = False,
    listener: Listener | None = None,
    factory: CodecFactory | None = None,
) -> EncodeReport:
    """Encoding of a video file to a stream.

    Args:
        source: path of a video, ``-`` for standard input, or an address.
        out: takes the stream; need not be seekable.
        options: of the encoder; time base, frame rate and length are the source's.
        roi, roi_share, roi_level: ROI sources, share and level, as
            :func:`roicodec.encoder.roi.given.roi_source` takes them.
        frames: part of the video to encode, by frame numbers.
        backend: of the networks, as :func:`roicodec.kernels.choose.choose_backend` takes it.
        threads: for decoding the source; 0 lets FFmpeg choose.
        strict: whether damage of the source is an error, rather than a warning.
        allow_network: whether addresses and playlists may be opened as source.
        listener: receiver of progress and warnings.
        factory: makes the encoder; None for the installed networks.

    Raises:
        InputError: if the source, a ROI source or an option cannot be used.
        ModelError: if the networks are not there.
    """
    # Decoding needs neither the encoder nor torch.
    from roicodec.encoder.roi.given import roi_source

    listener = listener or Listener()
    clock, report = _Clock(), EncodeReport()
    with Reader(source, frames, threads, strict=strict, allow_network=allow_network) as reader:
        info = reader.info
        source_roi = roi_source(roi, info.width, info.height, share=roi_share, level=roi_level)
        try:
            options = changed(
                options,
                time_base=info.time_base,
                frame_rate=info.frame_rate or options.frame_rate,
                frames=reader.frame_count or None,
            )
            encoder = (factory or NetworkFactory()).encoder(
                info.width, info.height, options, source_roi, backend
            )
            header, replaced = _header(info, options.gop, encoder)
            for line in replaced:
                listener.warn(line)
            listener.start(reader.frame_count)
            start = end = None
            with StreamWriter(out, header) as writer:

                def write(frames: Sequence[Coded]) -> None:
                    for coded in frames:
                        report.video_bytes += writer.write_frame(coded.chunk)
                        report.frames += 1
                        listener.size(writer.position)
                        listener.frame(report.frames)

                if reader.extras != Extras():
                    writer.write_track(reader.extras.to_bytes())
                for item in reader.items():
                    if isinstance(item, TrackPacket):
                        payload = item.to_bytes()
                        if len(payload) <= MAX_CHUNK:
                            writer.write_packet(payload)
                        else:
                            track, size = reader.extras.tracks[item.track], len(payload) >> 20
                            listener.warn(f"a packet of {size} MiB of the {track} is left out")
                        continue
                    start = item.pts if start is None else start
                    end = item.pts + item.duration
                    write(encoder.encode(item))
                write(encoder.encode(None))
        finally:
            source_roi.close()
        for message in filter(None, (*reader.warnings, encoder.missed())):
            listener.warn(message)
    report.bytes = writer.position
    if start is not None and end is not None:
        report.duration = float((end - start) * info.time_base)
    clock.stop(report)
    return report


def decode_stream(
    stream: BinaryIO,
    target: str,
    *,
    replace: bool = True,
    codec: str | None = None,
    crf: float | None = None,
    audio_codec: str = "copy",
    backend: str | None = None,
    threads: int = 0,
    max_pixels: int = MAX_AREA,
    max_frames: int = MAX_FRAMES,
    listener: Listener | None = None,
    factory: CodecFactory | None = None,
) -> DecodeReport:
    """Decoding of a stream to a video file, which has every whole GOP of a damaged stream.

    Args:
        stream: at its start; need not be seekable.
        target, replace, codec, crf, audio_codec: as :class:`roicodec.media.Writer` takes them.
        backend: as :func:`encode_video` takes it.
        threads: for encoding the output; 0 lets the encoder choose.
        max_pixels, max_frames: largest picture and number of frames to take, as
            :class:`roicodec.bitstream.reader.StreamReader` takes them.
        listener: takes progress, and warnings: the first ten on the stream, then their number.

    Raises:
        StreamError: if no frame at all can be decoded.
        InputError: if the target cannot be written.
        ModelError: if the stream's networks are not there.
    """
    clock = _Clock()
    reader = StreamReader(stream, max_pixels=max_pixels, max_frames=max_frames)
    decoder = (factory or NetworkFactory()).decoder(reader.header, backend)

    def open_writer(extras: Extras) -> Writer:
        info, problems = _video_info(reader.header, extras)
        decoding.report_problems(problems)
        return Writer(
            target, info, extras, codec, crf, threads, audio_codec=audio_codec, replace=replace
        )

    decoding = _Decoding(decoder, open_writer, listener or Listener())
    report = decoding.report
    decoding.listener.start(reader.frame_count())
    try:
        for item in reader:
            if isinstance(item, Damage):
                decoding.damage(item.message)
            else:
                decoding.take(item)
        report.lost += reader.frames_lost
        report.truncated = reader.truncated
        decoding.finish()
    except BaseException:
        if decoding.writer is not None:
            decoding.writer.abort()
        raise
    clock.stop(report)
    return report


class _Decoding:
    """Decoding of a stream's chunks one by one into a video file."""

    def __init__(
        self, decoder: PictureDecoder, open_writer: Callable[[Extras], Writer], listener: Listener
    ) -> None:
        self.listener = listener
        self._warn = WarningLimit(listener.warn)
        self.report = DecodeReport()
        self.writer: Writer | None = None
        self._decoder = decoder
        self._open_writer = open_writer
        self._extras = Extras()

    def damage(self, message: str) -> None:
        self.report.damages += 1
        self._warn(message)

    def take(self, chunk: Chunk) -> None:
        try:
            if chunk.frame is not None:
                self._frame(chunk.frame, chunk.number)
            elif chunk.type == TRACK:
                problems = Problems()
                self._extras = Extras.from_bytes(chunk.payload, problems)
                self.report_problems(problems)
            elif chunk.type == PACKET:
                self._output().write_packet(TrackPacket.from_bytes(chunk.payload))
        except StreamError as error:
            name = f"{chunk.type.strip()} chunk" if chunk.frame is None else f"frame {chunk.number}"
            self.damage(f"{name} at byte {chunk.offset}: {error}")

    def finish(self) -> None:
        """End of the output.

        Raises:
            StreamError: if there is no frame in it.
        """
        self._write(self._decoder.decode(None))
        self._warn.finish()
        if self.writer is None or not self.report.frames:
            raise StreamError("no frame of it can be decoded")
        self.writer.close()
        for message in self.writer.warnings:
            self.listener.warn(message)
        self.report_problems(self.writer.problems)

    def report_problems(self, problems: Problems) -> None:
        self.report.damages += problems.total
        for message in problems:
            self.listener.warn(message)

    def _frame(self, frame: FrameChunk, number: int) -> None:
        try:
            decoded = self._decoder.decode(frame, number)
        except ReferenceLost:  # the loss itself has been told
            self.report.lost += 1
        except StreamError:
            self.report.lost += 1
            raise
        else:
            self._write(decoded)

    def _write(self, frames: Sequence[Decoded]) -> None:
        for decoded in frames:
            self._output().write(decoded.picture)
            self.report.frames += 1
            self.listener.frame(self.report.frames)

    def _output(self) -> Writer:
        if self.writer is None:
            self.writer = self._open_writer(self._extras)
        return self.writer


_CARRIED = (
    "width",
    "height",
    "time_base",
    "sample_aspect_ratio",
    "pixel_format",
    "color_range",
    "color_matrix",
    "color_primaries",
    "color_transfer",
    "chroma_location",
)
"""Fields that a stream's header has of its video, by the same name."""


def _carried(source: VideoInfo | Header) -> dict[str, Any]:
    return {name: getattr(source, name) for name in _CARRIED}


def _header(info: VideoInfo, gop: int, encoder: PictureEncoder) -> tuple[Header, list[str]]:
    return Header.mended(
        **_carried(info),
        gop=gop,
        frame_rate=info.frame_rate or Fraction(0),
        rotation=info.rotation,
        encoder=f"roicodec {__version__}",
        **encoder.header_fields,
    )


def _video_info(header: Header, extras: Extras) -> tuple[VideoInfo, Problems]:
    problems = Problems()
    info = VideoInfo(
        **_carried(header),
        frame_rate=header.frame_rate or None,
        display_matrix=extras.display_matrix,
    )
    return with_properties(info, extras.properties, problems.add), problems
