"""Encode of a video by one process, in one pass where no budget of bits asks for two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol

from roicodec.bitstream.constants import MAX_CHUNK
from roicodec.bitstream.writer import StreamWriter
from roicodec.factory import CodecFactory
from roicodec.media import Extras, Reader, TrackPacket
from roicodec.segments.encoder import SegmentedEncoder, missed_goal
from roicodec.segments.plan import Segmenter
from roicodec.segments.planner import planned
from roicodec.segments.store import SegmentStore
from roicodec.segments.stream import Joiner
from roicodec.segments.work import Work

__all__ = ["Encoded", "Progress", "encode_in_order", "fitting_payload"]


class Progress(Protocol):
    """Receiver of progress and warnings."""

    def size(self, size: int) -> None:
        """``size`` bytes are written so far."""

    def frame(self, done: int) -> None:
        """``done`` frames are finished."""

    def warn(self, message: str) -> None:
        """One line about something that the user may not expect."""


@dataclass(slots=True)
class Encoded:
    """Result of an encode.

    Attributes:
        frames: number of frames.
        bytes, video_bytes: of the whole stream, and of the frame chunks alone.
        duration: of the video, seconds; 0 when unknown.
        missed: a line on a goal of rate or PSNR that was missed; empty otherwise.
        join_seconds: time that joining of segments took, where several processes made them.
    """

    frames: int = 0
    bytes: int = 0
    video_bytes: int = 0
    duration: float = 0.0
    missed: str = ""
    join_seconds: float = 0.0


def encode_in_order(
    work: Work,
    reader: Reader,
    out: BinaryIO,
    factory: CodecFactory,
    store: SegmentStore | None,
    listener: Progress,
) -> Encoded:
    """Stream of a video, segment after segment.

    Args:
        work: filled in.
        reader: of its source, at the start.
        out: takes the stream; need not be seekable.
        factory: makes the encoders.
        store: of finished segments, open; None for nowhere.
        listener: receiver of progress and warnings.

    Raises:
        InputError: if the source or the ROI cannot be used, or finished segments are of another
            source.
        ModelError: if there are no networks.
    """
    info, done = reader.info, Encoded()

    def written(frames: int, size: int) -> None:
        listener.size(size)
        listener.frame(frames)

    rules = work.rules()
    budgets = rules is not None and work.options.bit_rate is not None
    plan = planned(work, rules) if budgets else None
    roi = work.roi_source(info)
    try:
        segments = work.encoder(factory, info, roi)
        encoder = SegmentedEncoder(segments, Segmenter(rules), plan=plan, finished=store)
        header, replaced = work.header(info, encoder.header_fields)
        if store is not None:
            store.header = header
        for line in replaced:
            listener.warn(line)
        pictures, start, end = 0, None, None
        with StreamWriter(out, header) as writer:
            joiner = Joiner(writer, written)
            if reader.extras != Extras():
                writer.write_track(reader.extras.to_bytes())
            for item in reader.items():
                if isinstance(item, TrackPacket):
                    payload, line = fitting_payload(item, reader.extras)
                    if line:
                        listener.warn(line)
                    else:
                        joiner.packet(pictures, payload)
                    continue
                start = item.pts if start is None else start
                end = item.pts + item.duration
                pictures += 1
                for chunk in encoder.encode(item):
                    joiner.frame(chunk)
            for chunk in encoder.encode(None):
                joiner.frame(chunk)
    finally:
        roi.close()
    done.frames, done.bytes, done.video_bytes = writer.frames, writer.position, joiner.video_bytes
    if start is not None and end is not None:
        done.duration = float((end - start) * info.time_base)
    done.missed = missed_goal(
        work.options, encoder.missed, encoder.segments, done.video_bytes, done.frames
    )
    return done


def fitting_payload(packet: TrackPacket, extras: Extras) -> tuple[bytes, str]:
    """Payload of a packet's chunk, and a line where it is too large for one; else empty."""
    payload = packet.to_bytes()
    if len(payload) <= MAX_CHUNK:
        return payload, ""
    track, size = extras.tracks[packet.track], len(payload) >> 20
    return b"", f"a packet of {size} MiB of the {track} is left out"
