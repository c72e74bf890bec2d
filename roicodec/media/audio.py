"""Transcoding of audio, for containers that cannot hold it as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction

from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.codec import Codec
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from roicodec.media.containers import REFUSALS
from roicodec.media.parameters import open_header, usual_layout
from roicodec.media.rehearsal import Rehearsal
from roicodec.media.tracks import Problems, Track, TrackPacket

__all__ = ["AUDIO_CODECS", "AudioLane"]

AUDIO_CODECS = ("copy", "aac", "flac", "opus")
_ENCODERS = {"opus": "libopus"}
"""FFmpeg's names of encoders that are not those of their codecs."""
_RATE = 48000
"""Samples a second where the encoder does not know the source's rate."""
_BITS_PER_CHANNEL = 96_000
_KNOWN_RATES = {"aac": {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000,
                        11025, 8000, 7350},
                "opus": {48000, 24000, 16000, 12000, 8000}}  # fmt: skip
_DEPTHS = {"s32", "s32p", "flt", "fltp", "dbl", "dblp", "s64", "s64p"}
"""Sample formats with more than 16 bits."""


class AudioLane:
    """Lane that decodes a track and codes it again; gaps between its packets stay.

    Args:
        track: of kind ``audio``.
        codec: one of :data:`AUDIO_CODECS` but ``copy``.
        format: FFmpeg's name of the muxer.
        problems: takes a line on packets that cannot be decoded.

    Raises:
        ValueError, av.FFmpegError: if FFmpeg cannot decode the track, or the muxer cannot hold
            the codec.
        StreamError: if the track's parameters are damaged.
    """

    proven = True

    def __init__(self, track: Track, codec: str, format: str, problems: Problems) -> None:
        self._track, self._codec, self._problems = track, codec, problems
        self._refused = 0
        self._resampler: AudioResampler | None = None
        with ExitStack() as opened:
            stream = opened.enter_context(open_header(track))
            if not isinstance(stream, AudioStream):
                raise ValueError(f"{track.codec} is not audio")
            self._decoder: AudioCodecContext = stream.codec_context
            self._decoder.open(strict=False)
            self._opened = opened.pop_all()
        known = _KNOWN_RATES.get(codec)
        rate = self._decoder.sample_rate
        self._rate = rate if known is None or rate in known else _RATE
        self._layout = usual_layout(track.layout) or usual_layout(self._decoder.layout.name)
        self._format = _sample_format(codec, getattr(self._decoder.format, "name", None))
        try:
            self._rehearsal = Rehearsal(self.add_to, format)
        except BaseException:
            self._opened.close()
            raise

    def add_to(self, out: OutputContainer) -> Stream:
        name = _ENCODERS.get(self._codec, self._codec)
        stream = out.add_stream(name, rate=self._rate, options={"strict": "-2"})
        assert isinstance(stream, AudioStream)
        context = stream.codec_context
        context.layout, context.format = self._layout, self._format
        if self._codec != "flac":
            context.bit_rate = _BITS_PER_CHANNEL * context.layout.nb_channels
        context.time_base = stream.time_base = Fraction(1, self._rate)
        stream.metadata.update(self._track.metadata)
        stream.disposition = Disposition(self._track.disposition)
        return stream

    def packets(self, packet: TrackPacket, stream: Stream) -> Sequence[Packet[Stream]]:
        assert isinstance(stream, AudioStream)
        try:
            frames = self._decoder.decode(packet.to_av(stream, self._track.time_base))
            coded = [packet for frame in frames for packet in self._encode(frame, stream)]
        except REFUSALS:
            self._refused += 1
            return ()
        return self._taken(coded, stream)

    def flush(self, stream: Stream) -> Sequence[Packet[Stream]]:
        assert isinstance(stream, AudioStream)
        coded: list[Packet[Stream]] = []
        try:
            for frame in self._decoder.decode(None):
                coded += self._encode(frame, stream)
            if self._resampler is not None:
                coded += self._encode(None, stream)
            # FLAC's last packet is empty, and carries a header for muxers that can go back.
            coded += [packet for packet in stream.encode(None) if packet.size]
        except REFUSALS:
            self._refused += 1
        taken = self._taken(coded, stream)
        if self._refused:
            self._problems.add(
                f"{self._track}: {self._refused} packets cannot be decoded or coded anew; left out"
            )
        return taken

    def close(self) -> None:
        self._rehearsal.close()
        self._opened.close()

    def _taken(self, coded: Sequence[Packet[Stream]], stream: Stream) -> Sequence[Packet[Stream]]:
        """The packets that the muxer takes."""
        taken = []
        for packet in coded:
            if self._rehearsal.refusal(packet) is None:
                packet.stream = stream
                taken.append(packet)
            else:
                self._refused += 1
        return taken

    def _encode(self, frame: AudioFrame | None, stream: AudioStream) -> Iterator[Packet[Stream]]:
        if self._resampler is None:
            size = stream.codec_context.frame_size or None
            self._resampler = AudioResampler(self._format, self._layout, self._rate, size)
        if frame is not None and frame.pts is not None:
            seconds = frame.pts * self._track.time_base
            frame.pts, frame.time_base = (
                round(seconds * frame.sample_rate),
                Fraction(1, frame.sample_rate),
            )
        for converted in self._resampler.resample(frame):
            yield from stream.encode(converted)


def _sample_format(codec: str, source: str | None) -> str:
    if codec == "flac":
        return "s32" if source in _DEPTHS else "s16"
    formats = Codec(_ENCODERS.get(codec, codec), "w").audio_formats
    return formats[0].name if formats else "fltp"
