"""Contents of a source: which track is the video, and what goes along."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import AttachmentStream, DataStream, Discard, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from roicodec.errors import InputError
from roicodec.media.extras import Chapter, Extras
from roicodec.media.parameters import describe, lasting_metadata
from roicodec.media.tracks import Problems, Track

__all__ = ["choose_video", "describe_rest", "expected_frames"]

_Warn = Callable[[str], None]
_MAX_ATTACHMENTS = 48 << 20
"""Bytes of attachments and headers of tracks together: a stream's chunk must hold them."""
_ALPHA = "alpha_mode"
"""Tag of Matroska that says that a second stream of the packets is the transparency."""
_LEAST_BYTES = 4
"""A picture takes at least so many bytes of a file: more pictures are not believed."""


def choose_video(container: InputContainer) -> VideoStream:
    """The video track: the default one, else the largest.

    Raises:
        InputError: if there is none that FFmpeg decodes.
    """
    videos = [
        s for s in container.streams.video if not s.disposition & Disposition.attached_pic
    ]  # fmt: skip
    if not videos:
        raise InputError("has no video track")
    decodable = [s for s in videos if s.codec_context]
    if not decodable:
        raise InputError("FFmpeg has no decoder for its video; convert it first")
    return max(
        decodable,
        key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height),
    )


def describe_rest(
    container: InputContainer, video: VideoStream, whole: bool, warn: _Warn
) -> tuple[Extras, dict[int, int]]:
    """All but the video, and the place of each track by the index of its stream.

    Args:
        container: the open source.
        video: the video track.
        whole: whether chapters are wanted.
        warn: takes a line on what cannot be carried.
    """
    tracks: list[Track] = []
    indices: dict[int, int] = {}
    held = 0
    metadata = lasting_metadata(container.metadata)
    video_metadata = lasting_metadata(video.metadata)
    for key in [key for key in video_metadata if key.lower() == _ALPHA]:
        if video_metadata.pop(key) != "0":
            warn("transparency is dropped")
    chapters = tuple(
        Chapter(c["id"], c["start"], c["end"], c["time_base"] or Fraction(1), c["metadata"])
        for c in container.chapters()
    )
    if chapters and not whole:
        warn("chapters are left out because only a part of the frames was chosen")
        chapters = ()
    for stream in container.streams:
        if stream is video:
            continue
        track = _describe(stream, _MAX_ATTACHMENTS - held)
        if track is None:
            stream.discard = Discard.all
            if isinstance(stream, DataStream) and "timecode" in stream.metadata:
                # Muxers make such a track from the tag.
                video_metadata.setdefault("timecode", stream.metadata["timecode"])
            elif stream.type != "data" or not container.chapters():
                warn(f"{stream.type} track {stream.index} ({_name(stream)}) is left out")
            continue
        held += len(track.header)
        indices[stream.index] = len(tracks)
        tracks.append(track)
    found = Extras(tuple(tracks), metadata, video_metadata, chapters)
    problems = Problems()  # the reader's limits are the writer's
    kept = Extras.from_bytes(found.to_bytes(), problems)
    for line in problems:
        warn(line)
    usable = {i: place for i, place in indices.items() if place < len(kept.tracks)}
    return kept, usable


def _describe(stream: Stream, space: int) -> Track | None:
    if isinstance(stream, AttachmentStream) and len(stream.data) > space:
        return None
    still = stream.disposition & Disposition.attached_pic
    if isinstance(stream, AudioStream | SubtitleStream | AttachmentStream) or still:
        return describe(stream)
    return None


def _name(stream: Stream) -> str:
    if isinstance(stream, AttachmentStream):
        name = stream.metadata.get("filename", "attachment")
        return f"{name}, {len(stream.data) / (1 << 20):.0f} MiB"
    return stream.codec_context.name if stream.codec_context else "unknown codec"


def expected_frames(
    container: InputContainer, video: VideoStream, rate: Fraction | None, size: int | None
) -> int | None:
    """Number of pictures that the video track announces; None when unknown. A guess.

    Args:
        container: the open source.
        video: the video track.
        rate: frames per second.
        size: of the file, in bytes.
    """
    count: int | None = video.frames or None
    if count is None and rate:
        seconds = _seconds(container, video)
        count = None if seconds is None else round(seconds * rate)
    if count is not None and size is not None and count > size / _LEAST_BYTES:
        return None
    return count or None


def _seconds(container: InputContainer, video: VideoStream) -> Fraction | None:
    if video.duration and video.time_base:
        return video.duration * video.time_base
    stated = next((v for k, v in video.metadata.items() if k.lower() == "duration"), "")
    try:  # as Matroska has it: 00:00:21.000000000
        hours, minutes, seconds = stated.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except ValueError:
        return Fraction(container.duration, 10**6) if container.duration else None
