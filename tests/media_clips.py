"""Small clips that the media tests make for themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Stream

from roicodec.media import Reader, TrackPacket, VideoInfo, Writer
from roicodec.picture import Picture

TIME_BASE = Fraction(1, 12800)


def pictures(
    width: int = 64,
    height: int = 48,
    pts: Sequence[int] = tuple(range(0, 8 * 512, 512)),
    noise: bool = False,
) -> list[Picture]:
    """Slow gradients that any encoder does well, or noise, which shows every wrong sample."""
    chroma = (height + 1) // 2, (width + 1) // 2
    out = []
    for number, time in enumerate(pts):
        if noise:
            rng = np.random.default_rng(number)
            y = rng.integers(0, 256, (height, width), np.uint8)
            u, v = rng.integers(0, 256, (2, *chroma), np.uint8)
        else:
            rows, columns = np.mgrid[:height, :width]
            wave = np.sin((columns + 2 * number) / 9) + np.cos(rows / 7)
            y = (126 + 50 * wave).astype(np.uint8)
            u = (y[::2, ::2] // 2 + 60).astype(np.uint8)
            v = (200 - y[::2, ::2] // 2).astype(np.uint8)
        step = pts[number + 1] - time if number + 1 < len(pts) else 512
        out.append(Picture(y, u, v, time, step))
    return out


def info(width: int = 64, height: int = 48, **fields: object) -> VideoInfo:
    values: dict[str, object] = {"time_base": TIME_BASE, "frame_rate": Fraction(25)} | fields
    return VideoInfo(width, height, **values)  # type: ignore[arg-type]


def add_audio(stream: av.AudioStream, seconds: float) -> list[av.Packet[av.AudioStream]]:
    """Encode a sweep; gives the packets, not yet muxed."""
    rate = stream.codec_context.sample_rate
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * (200 + 300 * time) * time)
    wave = np.stack([wave, wave[::-1]]).astype(np.float32)
    target = stream.codec_context.format or "s16"
    resampler = av.AudioResampler(target, "stereo", rate, frame_size=None)
    packets = []
    for start in range(0, wave.shape[1], 2048):
        frame = av.AudioFrame.from_ndarray(wave[:, start : start + 2048].copy(), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        for converted in resampler.resample(frame):
            packets += stream.encode(converted)
    return packets + list(stream.encode(None))


def mux_gray(out: OutputContainer, video: av.VideoStream, numbers: Iterable[int]) -> None:
    """Frames of a new stream at 25 a second, all alike, up to the last packet."""
    for number in numbers:
        frame = av.VideoFrame(video.width, video.height, "yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        out.mux(video.encode(frame))
    out.mux(video.encode(None))


def mux_text(out: OutputContainer, track: Stream, data: bytes, pts: int, duration: int) -> None:
    """A subtitle's packet; times in milliseconds."""
    packet = av.Packet(data)
    packet.stream, packet.time_base = track, Fraction(1, 1000)
    packet.pts = packet.dts = pts
    packet.duration, packet.is_keyframe = duration, True
    out.mux(packet)


def write_av(
    path: Path,
    *,
    size: tuple[int, int] = (64, 48),
    count: int = 8,
    codec: str = "libx264",
    audio: str | None = None,
    format: str | None = None,
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    options: dict[str, str] | None = None,
    seconds: float | None = None,
) -> Path:
    """A clip that PyAV alone makes, without this project's writer."""
    with av.open(str(path), "w", format=format) as out:
        video = out.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        sound = None
        if audio:
            sound = out.add_stream(audio, rate=48000, options={"strict": "-2"})
            if audio == "wmav2":  # has no default
                sound.codec_context.bit_rate = 192_000
        packets: list[av.Packet[Any]] = []
        for number, picture in enumerate(pictures(*size, pts=range(count))):
            packed = np.concatenate([p.ravel() for p in picture.planes])
            frame = av.VideoFrame.from_ndarray(packed.reshape(-1, size[0]), "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            packets += video.encode(frame)
        packets += video.encode(None)
        if isinstance(sound, av.AudioStream):
            packets += add_audio(sound, seconds or count / rate)
        packets.sort(key=lambda p: (p.dts or 0) * p.time_base)
        out.mux(packets)
    return path


def read(path: object, **options: object) -> tuple[Reader, list[Picture], list[TrackPacket]]:
    """Everything of a file; the reader is closed."""
    with Reader(path, **options) as reader:  # type: ignore[arg-type]
        items = list(reader.items())
    shown = [item for item in items if isinstance(item, Picture)]
    return reader, shown, [item for item in items if isinstance(item, TrackPacket)]


def copy(source: Path, target: Path, **options: object) -> tuple[Reader, Writer]:
    """From one file to another through reader, bytes, and writer."""
    with Reader(source) as reader:
        extras = type(reader.extras).from_bytes(reader.extras.to_bytes())
        with Writer(target, reader.info, extras, **options) as writer:  # type: ignore[arg-type]
            for item in reader.items():
                if isinstance(item, Picture):
                    writer.write(item)
                else:
                    writer.write_packet(TrackPacket.from_bytes(item.to_bytes()))
    return reader, writer


def times(reader: Reader, shown: Sequence[Picture]) -> list[Fraction]:
    return [p.pts * reader.info.time_base for p in shown]


def psnr(one: Picture, other: Picture) -> float:
    error = np.mean((one.y.astype(float) - other.y) ** 2)
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))
