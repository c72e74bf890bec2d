"""Transcoding of a video file to a stream and back, frame by frame."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from dataclasses import replace as changed
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from roicodec.bitstream.constants import MAX_AREA, MAX_FRAMES
from roicodec.bitstream.header import Header
from roicodec.bitstream.reader import StreamReader
from roicodec.description import video_info_of
from roicodec.errors import InputError, StreamError
from roicodec.factory import (
    CodecFactory,
    Decoded,
    NetworkFactory,
    PictureDecoder,
)
from roicodec.kernels.threads import occupied
from roicodec.media import Problems, TrackPacket, Writer
from roicodec.media.cut import Cut
from roicodec.media.part import WHOLE, Part
from roicodec.picture import Picture
from roicodec.stream_items import StreamItems
from roicodec.warning_limit import WarningLimit

if TYPE_CHECKING:
    from roicodec.encoder.options import EncoderOptions
    from roicodec.encoder.roi.given import Roi
    from roicodec.media.filters import Filters
    from roicodec.media.track_choice import TrackChoice
    from roicodec.media.writer import Target
    from roicodec.segments.store import SegmentStore

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
        jobs: number of processes of this machine that encoded; 0 where a cluster did.
    """

    jobs: int = 1
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
    frames: Part | slice | None = None,
    filters: Filters | None = None,
    tracks: TrackChoice | None = None,
    backend: str | None = None,
    threads: int = 0,
    strict: bool = False,
    allow_network: bool = False,
    listener: Listener | None = None,
    store: SegmentStore | None = None,
    jobs: int | None = 1,
    worker_threads: int | None = None,
    cluster: str | None = None,
    two_pass: bool = False,
    factory: CodecFactory | None = None,
) -> EncodeReport:
    """Encoding of a video file to a stream.

    Args:
        source: path of a video, ``-`` for standard input, or an address.
        out: takes the stream; need not be seekable.
        options: of the encoder; time base, frame rate and length are the source's.
        roi, roi_share, roi_level: ROI sources, share and level, as
            :func:`roicodec.encoder.roi.given.roi_source` takes them.
        frames: part of the video to encode; a slice goes by frame numbers.
        filters: changes of the pictures before; None for none.
        tracks: which of them are taken; None for all.
        backend: of the networks, as :func:`roicodec.kernels.choose.choose_backend` takes it.
        threads: for decoding the source; 0 lets FFmpeg choose.
        strict: whether damage of the source is an error, rather than a warning.
        allow_network: whether addresses and playlists may be opened as source.
        listener: receiver of progress and warnings.
        store: keeps finished segments, and has those of an interrupted run; None for nowhere.
        jobs: number of processes that encode; None for what cores and memory allow where the
            video is long enough. The stream does not depend on it.
        worker_threads: for each of several processes to compute with; None to share the cores.
        cluster: address of a dask.distributed scheduler whose workers encode, instead.
        two_pass: whether the bit rate is met by what a first pass at least effort finds; the stream
            is one segment then.
        factory: makes the encoder; None for the installed networks.

    Raises:
        InputError: if the source, a ROI source or an option cannot be used.
        ModelError: if the networks are not there.
    """
    # Decoding needs neither the encoder nor torch.
    from roicodec.segments.executors import Executor, LocalExecutor
    from roicodec.segments.parallel import check_portable, encode_in_parallel, encode_jobs
    from roicodec.segments.sequential import encode_in_order
    from roicodec.segments.store import temporary_store
    from roicodec.segments.work import Work

    listener = listener or Listener()
    clock, report, others = _Clock(), EncodeReport(), 0.0
    if two_pass:
        if cluster or not os.path.isfile(source):
            raise InputError(
                "two passes need a file, which is read by this machine", parameter="two_pass"
            )
        from roicodec.two_pass import first_pass

        again = partial(
            encode_video, source, roi=roi, roi_share=roi_share, roi_level=roi_level, frames=frames,
            filters=filters, tracks=tracks, backend=backend, threads=threads, strict=strict,
            jobs=jobs, worker_threads=worker_threads, factory=factory,
        )  # fmt: skip
        profile = first_pass(lambda chosen, file: again(options=chosen, out=file), options)
        options = changed(options, profile=profile)
    reading: dict[str, Any] = {
        "frames": frames, "threads": threads, "strict": strict, "allow_network": allow_network,
    }  # fmt: skip
    chosen = {"filters": filters, "tracks": tracks}
    reading |= {name: value for name, value in chosen.items() if value is not None}
    work = Work(source, reading, options, roi, roi_share, roi_level, backend)
    with work.open() as reader:
        work = work.filled(reader)
        if store is not None and work.again:
            store.open(work.settings())
        elif store is not None and store.resume:
            raise InputError(f"{source}: can be read only once, so nothing of it can be resumed")
        listener.start(reader.frame_count)
        factory = factory or NetworkFactory()
        if cluster:
            check_portable(work)
        workers = 0 if cluster else encode_jobs(work, reader.info, jobs, listener)
        if workers == 1:
            kept = store if work.again else None
            done = encode_in_order(work, reader, out, factory, kept, listener)
        else:
            with temporary_store() if store is None else nullcontext(store) as kept:
                start: Callable[[int], Executor] = partial(
                    LocalExecutor, work, factory, jobs=workers, threads=worker_threads
                )
                if cluster:
                    from roicodec.segments.cluster import ClusterExecutor

                    start = partial(
                        ClusterExecutor, work, factory, address=cluster, warn=listener.warn
                    )
                done, others = encode_in_parallel(work, reader, out, start, kept, listener)
        for message in filter(None, (*reader.warnings, done.missed)):
            listener.warn(message)
    report.frames, report.bytes, report.video_bytes = done.frames, done.bytes, done.video_bytes
    report.duration, report.jobs = done.duration, workers
    clock.stop(report)
    report.cpu_seconds += others
    return report


def decode_stream(
    stream: BinaryIO,
    target: Target,
    *,
    replace: bool = True,
    codec: str | None = None,
    crf: float | None = None,
    audio_codec: str = "copy",
    format: str | None = None,
    part: Part = WHOLE,
    overlay: bool = False,
    backend: str | None = None,
    threads: int = 0,
    jobs: int = 1,
    worker_threads: int | None = None,
    max_pixels: int = MAX_AREA,
    max_frames: int = MAX_FRAMES,
    listener: Listener | None = None,
    factory: CodecFactory | None = None,
) -> DecodeReport:
    """Decoding of a stream to a video file, which has every whole GOP of a damaged stream.

    Args:
        stream: at its start; need not be seekable.
        target, replace, codec, crf, audio_codec, format: as :class:`roicodec.media.Writer` takes
            them.
        part: which pictures; the other tracks are cut to match. With an index and a stream that
            can be sought, decoding begins at the GOP of the first one.
        overlay: whether the pictures show their ROI, bit-widths and quality
            (:func:`roicodec.stream_overlay.draw_decoded`).
        backend: as :func:`encode_video` takes it.
        threads: for encoding the output; 0 lets the encoder choose.
        jobs: number of processes that decode, each one GOP after another. The pictures do not
            depend on it.
        worker_threads: for each of several processes to compute with; None to share the cores.
        max_pixels, max_frames: largest picture and number of frames to take, as
            :class:`roicodec.bitstream.reader.StreamReader` takes them.
        listener: takes progress, and warnings: the first ten on the stream, then their number.

    Raises:
        StreamError: if no frame at all can be decoded.
        InputError: if the target cannot be written.
        ModelError: if the stream's networks are not there.
    """
    clock, report = _Clock(), DecodeReport()
    listener = listener or Listener()
    warn = WarningLimit(listener.warn)
    reader = StreamReader(stream, max_pixels=max_pixels, max_frames=max_frames)
    header = reader.header
    factory = factory or NetworkFactory()
    decoder: PictureDecoder[Decoded]
    if jobs == 1:
        decoder = factory.decoder(header, backend)
    else:
        from roicodec.segments.decoding import PooledDecoder

        decoder = PooledDecoder(header, factory, backend, jobs=jobs, threads=worker_threads)

    def damage(message: str) -> None:
        report.damages += 1
        warn(message)

    def tell(problems: Problems) -> None:
        report.damages += problems.total
        for message in problems:
            listener.warn(message)

    shown = None
    if overlay:
        from roicodec.stream_overlay import draw_decoded

        shown = draw_decoded
    listener.start(part.count(reader.frame_count(), header.frame_rate))
    stream_items = StreamItems(reader, decoder, part, damage, tell, shown)
    extras = stream_items.extras
    if part != WHOLE and extras.chapters:
        listener.warn("chapters are left out because only a part of the frames was chosen")
        extras = changed(extras, chapters=())
    writer: Writer | None = None

    def output() -> Writer:
        info, problems = video_info_of(header, extras)
        tell(problems)
        if overlay:
            from roicodec.stream_overlay import overlaid

            info = overlaid(info)
        return Writer(
            target, info, extras, codec, crf, threads, format, audio_codec=audio_codec,
            replace=replace,
        )  # fmt: skip

    try:
        for item in _chosen(stream_items, part, header, stream):
            writer = writer or output()
            if isinstance(item, TrackPacket):
                writer.write_packet(item)
                continue
            with occupied():
                writer.write(item)
            report.frames += 1
            listener.frame(report.frames)
        warn.finish()
        report.lost, report.truncated = stream_items.lost, reader.truncated
        if writer is None or not report.frames:
            raise StreamError("no frame of it can be decoded")
        writer.close()
        for message in writer.warnings:
            listener.warn(message)
        tell(writer.problems)
    except BaseException:
        stream_items.close()
        if writer is not None:
            writer.abort()
        raise
    clock.stop(report)
    return report


def _chosen(
    items: StreamItems, part: Part, header: Header, stream: BinaryIO
) -> Iterator[Picture | TrackPacket]:
    """The pictures and packets of a part."""
    if part == WHOLE:
        return (item if isinstance(item, TrackPacket) else item[1] for item in items)
    name = str(getattr(stream, "name", "the stream"))
    cut = Cut(
        name, part, items.extras.tracks, header.time_base, items.origin, items.seen, items.end
    )
    return cut(iter(items))
