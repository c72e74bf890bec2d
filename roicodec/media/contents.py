"""Contents of a source: which track is the video, and what goes along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import AttachmentStream, DataStream, Discard, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from roicodec.errors import InputError
from roicodec.media.extras import Chapter, Extras
from roicodec.media.parameters import describe, lasting_metadata
from roicodec.media.track_choice import ALL_TRACKS, TrackChoice
from roicodec.media.tracks import Problems, Track, put_metadata

__all__ = ["choose_video", "describe_rest", "expected_frames"]

_Warn = Callable[[str], None]
_MAX_EXTRAS = 48 << 20
"""Bytes of attachments, tags and headers of tracks together: a stream's chunk must hold them."""
_ALPHA = "alpha_mode"
"""Tag of Matroska that says that a second stream of the packets is the transparency."""
_LEAST_BYTES = 4
"""A picture takes at least so many bytes of a file: more pictures are not believed."""


def choose_video(container: InputContainer, choice: TrackChoice = ALL_TRACKS) -> VideoStream:
    """The video track: the default one, else the largest.

    Args:
        container: the open source.
        choice: tracks that may be taken.

    Raises:
        InputError: if there is none that FFmpeg decodes.
    """
    allowed = choice.videos(container)
    videos = [
        s
        for s in container.streams.video
        if s in allowed and not s.disposition & Disposition.attached_pic
    ]
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
    container: InputContainer,
    video: VideoStream,
    whole: bool,
    warn: _Warn,
    choice: TrackChoice = ALL_TRACKS,
) -> tuple[Extras, dict[int, int]]:
    """All but the video, and the place of each track by the index of its stream.

    Args:
        container: the open source.
        video: the video track.
        whole: whether chapters are wanted.
        warn: takes a line on what cannot be carried.
        choice: tracks that are wanted.
    """
    tracks: list[Track] = []
    indices: dict[int, int] = {}
    space = _Space(warn)
    metadata = space.fitting(lasting_metadata(container.metadata), "the file")
    video_metadata = space.fitting(lasting_metadata(video.metadata), "the video")
    for key in [key for key in video_metadata if key.lower() == _ALPHA]:
        if video_metadata.pop(key) != "0":
            warn("transparency is dropped")
    chapters = tuple(
        Chapter(
            c["id"],
            c["start"],
            c["end"],
            c["time_base"] or Fraction(1),
            space.fitting(c["metadata"], f"chapter {c['id']}"),
        )
        for c in container.chapters()
    )
    if chapters and not whole:
        warn("chapters are left out because only a part of the frames was chosen")
        chapters = ()
    for stream in container.streams:
        if stream is video:
            continue
        if not choice.takes(stream, container):
            stream.discard = Discard.all
            continue
        if isinstance(stream, AttachmentStream) and len(stream.data) > space.left:
            space.refuse(f"attachment track {stream.index} ({_name(stream)})")
            stream.discard = Discard.all
            continue
        track = _describe(stream)
        if track is not None and not space.take(len(track.to_bytes())):
            space.refuse(f"{track.kind} track {stream.index} ({_name(stream)})")
            stream.discard = Discard.all
            continue
        if track is None:
            stream.discard = Discard.all
            if isinstance(stream, DataStream) and "timecode" in stream.metadata:
                # Muxers make such a track from the tag.
                video_metadata.setdefault("timecode", stream.metadata["timecode"])
            elif stream.type != "data" or not container.chapters():
                warn(f"{stream.type} track {stream.index} ({_name(stream)}) is left out")
            continue
        indices[stream.index] = len(tracks)
        tracks.append(track)
    found = Extras(tuple(tracks), metadata, video_metadata, chapters)
    problems = Problems()  # the reader's limits are the writer's
    kept = Extras.from_bytes(found.to_bytes(), problems)
    for line in problems:
        warn(line)
    usable = {i: place for i, place in indices.items() if place < len(kept.tracks)}
    return kept, usable


class _Space:
    """Bytes that the chunk of all extras has left.

    Args:
        warn: takes a line on what does not fit.
    """

    def __init__(self, warn: _Warn) -> None:
        self.left = _MAX_EXTRAS
        self._warn = warn

    def take(self, size: int) -> bool:
        """Whether so many bytes fit; if so, they are taken."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def refuse(self, name: str) -> None:
        """Warning that something does not fit."""
        self._warn(
            f"{name} is left out: tracks, attachments and tags of more than"
            f" {_MAX_EXTRAS >> 20} MiB in all do not fit in a stream"
        )

    def fitting(self, metadata: Mapping[str, str], owner: str) -> dict[str, str]:
        """The tags of an owner that fit."""
        found = {}
        for key, value in metadata.items():
            if self.take(len(put_metadata({key: value}))):
                found[key] = value
            else:
                self.refuse(f"tag {key} of {owner}")
        return found


def _describe(stream: Stream) -> Track | None:
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
