"""Choice of how a track goes into a container: as it is, converted, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import av

from roicodec.errors import StreamError
from roicodec.media.audio import AudioLane
from roicodec.media.containers import MUXERS, REFUSALS, title_of
from roicodec.media.lanes import IMAGES, AttachmentLane, CopyLane, Lane, picture_lane, reason_of
from roicodec.media.subtitles import TextLane
from roicodec.media.tracks import Problems, Track, TrackPacket
from roicodec.text import in_utf8

__all__ = ["LaneChoice"]

_USUAL = ("mp4", "mov", "mkv")
"""Containers that are named where another one cannot hold a track."""


class LaneChoice:
    """Choice for one track after the other.

    Args:
        format: FFmpeg's name of the muxer.
        audio_codec: ``copy``, or the codec to transcode audio to.
        warnings: takes lines on what the container cannot hold.
        problems: takes lines on what is damaged.
    """

    def __init__(
        self, format: str, audio_codec: str, warnings: list[str], problems: Problems
    ) -> None:
        self._format, self._audio = format, audio_codec
        self._warnings, self._problems = warnings, problems

    def __call__(self, track: Track, samples: Sequence[TrackPacket]) -> Lane | None:
        """The way of a track into the container; None, with a line, if there is none.

        Args:
            track: any but an unusable one.
            samples: its first packets, of those that came before the first picture.
        """
        try:
            if track.kind == "attachment" and self._format == "matroska":
                return AttachmentLane(self._named(track))
            if track.kind == "audio" and self._audio not in ("copy", track.codec):
                return AudioLane(track, self._audio, self._format, self._problems)
            if track.kind == "video" and self._format != "mp4":
                # Only the MP4 muxer takes a still as the packet that it is.
                still = picture_lane(track, samples) if self._format == "matroska" else None
                if still is None:
                    raise ValueError("stills have no place there")
                return still
            return CopyLane(track, self._format, samples, self._problems, self._warnings)
        except StreamError as error:
            self._problems.add(f"{error}; left out")
        except REFUSALS as error:
            if track.kind == "subtitle" and (text := self._text_lane(track)):
                return text
            self._tell(track, samples, error)
        return None

    def _named(self, track: Track) -> Track:
        """An attachment whose name and type are such as Matroska has."""
        metadata = dict(track.metadata)
        name, kind = metadata.get("filename", ""), metadata.get("mimetype", "a/b")
        escaped = in_utf8(name)
        if escaped != name:
            self._warnings.append(f"the attachment {escaped} has a name that is not UTF-8: escaped")
            metadata["filename"] = escaped
        if not kind.isascii() or not kind.isprintable():
            self._problems.add(f"attachment {escaped}: its type is not one; left out")
            del metadata["mimetype"]
        return replace(track, metadata=metadata)

    def _text_lane(self, track: Track) -> TextLane | None:
        try:
            lane = TextLane(track, self._format, self._problems)
        except (StreamError, *REFUSALS):
            return None
        if lane.loses_styles:
            self._warnings.append(
                f"{title_of(self._format)} holds subtitles without styles: the {track} becomes"
                f" {lane.codec}"
            )
        return lane

    def _tell(self, track: Track, samples: Sequence[TrackPacket], error: BaseException) -> None:
        name, others = title_of(self._format), _containers_for(track, samples)
        if others:
            self._warnings.append(
                f"{name} cannot hold the {track}; it is left out"
                f" (.{' and .'.join(others)} can hold it)"
            )
        elif isinstance(error, av.FFmpegError):  # it knows the codec, but not like this
            self._problems.add(
                f"no container can hold the {track} ({reason_of(error)}); it is left out"
            )
        elif track.kind == "audio":
            self._warnings.append(
                f"none of .mkv, .mp4 and .mov can hold the {track} as it is; it is left out"
                " (audio coded anew, as AAC, FLAC or Opus, can be held)"
            )
        else:
            self._warnings.append(f"none of .mkv, .mp4 and .mov can hold the {track}; left out")


def _containers_for(track: Track, samples: Sequence[TrackPacket]) -> list[str]:
    """Endings of the names of outputs that can hold ``track`` as it is."""
    if track.kind == "attachment":
        return ["mkv"]
    if track.kind == "video":
        return ["mp4", *(["mkv"] if track.codec in IMAGES else [])]
    found = []
    for ending in _USUAL:
        with suppress(StreamError, *REFUSALS):
            CopyLane(track, MUXERS[ending], samples, Problems(), []).close()
            found.append(ending)
    return found
