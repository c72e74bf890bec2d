"""Codec parameters of a track, kept in a small media file.

The file (Matroska where it can hold the codec, else another container) has this one track and one
placeholder packet: FFmpeg writes the parameters and reads them back, so that nothing a muxer may
need is lost on the way.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream

from roicodec.errors import StreamError
from roicodec.media.tracks import KINDS, Track

__all__ = ["add_track", "describe", "lasting_metadata", "open_header", "usual_layout"]

_HEADER_FORMATS: dict[str, dict[str, str]] = {
    "matroska": {},
    "mp4": {"movflags": "empty_moov+default_base_moof"},
    "mov": {"movflags": "empty_moov+default_base_moof"},
    "nut": {},
    "asf": {},
    "avi": {},
    "mpegts": {},
}
_USUAL_LAYOUTS = {
    "1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1", "8 channels": "7.1",
}  # fmt: skip
_STALE_METADATA = {
    "encoder", "duration", "major_brand", "minor_version", "compatible_brands", "vendor_id",
    "handler_name", "number_of_frames", "number_of_bytes",
}  # fmt: skip
"""Tags that every muxer writes itself."""


def lasting_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Without the entries that describe the file they came from rather than its content."""
    lasting = {
        key: value
        for key, value in metadata.items()
        if key and key.lower() not in _STALE_METADATA and (key, value) != ("language", "und")
    }
    if "name" in lasting:  # how MP4 reads back what every format is given as the title
        lasting.setdefault("title", lasting.pop("name"))
    return lasting


def _parameters(stream: Stream) -> tuple[object, ...]:
    context = stream.codec_context
    found: tuple[object, ...] = (context.name, context.extradata or b"")
    if isinstance(stream, AudioStream):
        found += (stream.codec_context.sample_rate, stream.codec_context.layout.nb_channels)
    return found


def _header(stream: Stream, format: str) -> bytes:
    file = io.BytesIO()
    options = {"fflags": "+bitexact", "strict": "-2", **_HEADER_FORMATS[format]}
    with av.open(file, "w", format=format, options=options) as out:
        copy = out.add_stream_from_template(stream, opaque=True)
        out.start_encoding()
        placeholder: Packet[Stream] = Packet(bytes(8))
        placeholder.stream, placeholder.time_base = copy, Fraction(1, 1000)
        placeholder.pts = placeholder.dts = 0
        placeholder.duration, placeholder.is_keyframe = 1, True
        out.mux(placeholder)
    return file.getvalue()


def _open(header: bytes, format: str) -> InputContainer:
    # Names of other files in a header that comes from a stream lead nowhere.
    return av.open(
        io.BytesIO(header), "r", format=format, container_options={"protocol_whitelist": "none"}
    )


def describe(stream: Stream) -> Track | None:
    """The track that ``stream`` of an open input is; None if it cannot be carried."""
    time_base = stream.time_base or Fraction(1, 1000)
    disposition, metadata = int(stream.disposition), lasting_metadata(stream.metadata)
    if isinstance(stream, AttachmentStream):
        return Track("attachment", "", time_base, disposition, metadata, header=stream.data)
    if stream.type not in KINDS or not stream.codec_context:
        return None
    rate, layout, bit_rate = 0, "", 0
    if isinstance(stream, AudioStream):
        context = stream.codec_context
        rate, layout, bit_rate = context.sample_rate, context.layout.name, context.bit_rate or 0
    codec = stream.codec_context.codec.canonical_name
    for format in _HEADER_FORMATS:
        try:
            header = _header(stream, format)
            with _open(header, format) as back:
                if _parameters(back.streams[0]) == _parameters(stream):
                    return Track(
                        stream.type, codec, time_base, disposition, metadata, format, header,
                        rate, layout, bit_rate,
                    )  # fmt: skip
        except (av.FFmpegError, ValueError, IndexError):
            continue
    return None


@contextmanager
def open_header(track: Track) -> Iterator[Stream]:
    """The stream of the small media file in ``track``.

    Raises:
        StreamError: if the file is not what it should be.
    """
    if track.header_format not in _HEADER_FORMATS:
        raise StreamError(f"{track}: header in unknown format {track.header_format!r}")
    try:
        source = _open(track.header, track.header_format)
    except (av.FFmpegError, ValueError) as error:
        raise StreamError(f"{track}: its header is damaged") from error
    with source:
        if len(source.streams) != 1 or source.streams[0].type != track.kind:
            raise StreamError(f"{track}: its header describes something else")
        if not source.streams[0].codec_context:
            raise StreamError(f"{track}: FFmpeg does not know its codec")
        yield source.streams[0]


def add_track(out: OutputContainer, track: Track) -> Stream:
    """New stream with ``track``'s parameters in an output whose header is not yet written.

    Raises:
        ValueError, av.FFmpegError: if the container cannot hold it.
        StreamError: if the track's header is not what it should be.
    """
    if track.kind == "attachment":
        name = track.metadata.get("filename", "attachment")
        mimetype = track.metadata.get("mimetype", "application/octet-stream")
        return out.add_attachment(name, mimetype, track.header)
    with open_header(track) as source:
        stream = out.add_stream_from_template(source, opaque=True)
    if isinstance(stream, AudioStream):
        # Matroska and AVI give a bare number of channels; MP4 wants to know their places.
        layout = usual_layout(track.layout)
        if layout and _channels(layout) == stream.codec_context.layout.nb_channels:
            stream.codec_context.layout = layout
        if track.bit_rate:
            stream.codec_context.bit_rate = track.bit_rate
    stream.time_base = track.time_base
    stream.metadata.update(track.metadata)
    stream.disposition = Disposition(track.disposition)
    return stream


def usual_layout(layout: str) -> str:
    """FFmpeg's name of a channel layout, also where only the number of channels is known."""
    return _USUAL_LAYOUTS.get(layout, layout)


def _channels(layout: str) -> int:
    """Number of channels; 0 if FFmpeg does not know the layout."""
    try:
        return av.AudioLayout(layout).nb_channels
    except ValueError:
        return 0
