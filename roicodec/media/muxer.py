"""Containers: an encoded video track and the other tracks as they came."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import BinaryIO

import av
from av.container import OutputContainer
from av.rational import AVRational

from roicodec.errors import InputError
from roicodec.media.info import VideoInfo
from roicodec.media.tracks import Extras, TrackPacket, add_track
from roicodec.media.video_encoder import VideoEncoder
from roicodec.picture import Picture

__all__ = ["MUXERS", "Muxer"]

MUXERS = {"mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "matroska"}
"""FFmpeg's name of the muxer by the ending of a file's name."""
_CLEAR = b"\0\0"
"""A mov_text packet that clears the screen: the MP4 muxer makes these itself, from durations."""


class Muxer:
    """A container with an encoded video track and the other tracks as they came."""

    def __init__(
        self, place: BinaryIO, format: str, info: VideoInfo, extras: Extras, codec: str,
        crf: float | None, threads: int, warnings: list[str],
    ) -> None:  # fmt: skip
        self._warnings = warnings
        self._info, self._extras = info, extras
        self._encoder = VideoEncoder(codec, crf, threads, info, warnings)
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
