"""Small clips and encodes of them, for the tests of segments."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from roicodec.encoder.options import EncoderOptions
from roicodec.factory import CodecFactory
from roicodec.picture import Picture
from roicodec.transcode import Listener, encode_video
from tests.fake_codec import FakeFactory

__all__ = ["GOP", "Heard", "encoded", "scene", "write_clip"]

GOP = 16
"""So that a segment of at least 64 frames has four."""

_HEAD = b"YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C420jpeg\n"


class Heard(Listener):
    """What a listener was told."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.warnings: list[str] = []

    def frame(self, done: int) -> None:
        self.frames.append(done)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def scene(seed: int, frames: int, width: int = 48, height: int = 32) -> list[Picture]:
    """Pictures of soft shapes that move slowly; a texture of its own for each seed."""
    rng = np.random.default_rng(seed)
    wave = rng.uniform(0.05, 0.4, (4, 2)) * rng.choice([-1, 1], (4, 2))
    phase, speed = rng.uniform(0, 6, 4), rng.uniform(0.02, 0.1, 4)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    out = []
    for t in range(frames):
        waves = [
            np.sin(a * x + b * y + p + s * t)
            for (a, b), p, s in zip(wave, phase, speed, strict=True)
        ]
        luma = np.clip(128 + 25 * np.sum(waves, 0), 0, 255).astype(np.uint8)
        u, v = (np.ascontiguousarray(luma[::2, ::2] // 2 + 64 + 8 * k) for k in range(2))
        out.append(Picture(luma, u, v, t, 1))
    return out


def write_clip(path: Path, pictures: Sequence[Picture], *, sound: bool = False) -> Path:
    """A file of pictures; one with sound is Matroska, coded without loss."""
    if not sound:
        head = _HEAD % (pictures[0].width, pictures[0].height)
        frames = [
            b"FRAME\n" + b"".join(p.tobytes() for p in picture.planes) for picture in pictures
        ]
        path.write_bytes(head + b"".join(frames))
        return path
    with av.open(str(path), "w", format="matroska") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for number, picture in enumerate(pictures):
            planes = np.concatenate([p.ravel() for p in picture.planes])
            image = planes.reshape(-1, picture.width)
            frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
            frame.pts = number
            container.mux(video.encode(frame))
            tone = (1000 * np.sin(np.arange(320) / 7 + number)).astype(np.int16)[None]
            heard = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            heard.rate, heard.pts = 8000, 320 * number
            container.mux(audio.encode(heard))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def encoded(source: Path, *, factory: CodecFactory | None = None, **more: Any) -> bytes:
    """Stream of a file; further arguments as :func:`encode_video` takes them."""
    out = io.BytesIO()
    options = more.pop("options", None) or EncoderOptions(gop=GOP)
    roi = more.pop("roi", "0,0,16,16")
    encode_video(str(source), out, options, roi, factory=factory or FakeFactory(), **more)
    return out.getvalue()
