"""Sources of 10 bits, dithered to 8 or rounded: bytes, PSNR and error of slow gradients.

``python -m studies.ten_bits [CLIP…]`` measures a gradient, and clips at half their size, where the
sum of four samples has 10 bits.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from unittest import mock

import av
import numpy as np
from numpy.typing import NDArray

import roicodec
from roicodec.media import Reader
from roicodec.media.convert import Scaler

Deep = NDArray[np.uint16]
"""Luma of 10 bits, uint16 ``[H, W]``."""

_QUALITIES = (30, 40, 50, 60)
_WIDTH, _HEIGHT = 320, 192


def _gradient(frames: int) -> list[Deep]:
    """20 levels of 8 bits across the picture, moving."""
    rows, columns = np.mgrid[:_HEIGHT, :_WIDTH]
    shifts = [60 * (columns + 2 * n) / _WIDTH + 20 * rows / _HEIGHT for n in range(frames)]
    return [np.round(280 + shift).astype(np.uint16) for shift in shifts]


def _halved(clip: str, frames: int) -> list[Deep]:
    with Reader(clip, slice(0, frames)) as reader:
        planes = [p.y[: p.height // 2 * 2, : p.width // 2 * 2].astype(np.uint16) for p in reader]
    return [y[::2, ::2] + y[1::2, ::2] + y[::2, 1::2] + y[1::2, 1::2] for y in planes]


def _write(path: Path, frames: Sequence[Deep]) -> None:
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        assert isinstance(video, av.VideoStream)
        video.height, video.width = frames[0].shape
        video.pix_fmt = "yuv420p10le"
        for number, luma in enumerate(frames):
            frame = av.VideoFrame(video.width, video.height, "yuv420p10le")
            for plane, samples in zip(frame.planes, (luma, None, None), strict=True):
                padded = np.full((plane.height, plane.line_size // 2), 512, np.uint16)
                if samples is not None:
                    padded[:, : plane.width] = samples
                plane.update(padded.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))


def _means(samples: NDArray[np.floating]) -> NDArray[np.floating]:
    """Means of blocks of 8x8 samples, in which dither cancels out."""
    rows, columns = (side // 8 for side in samples.shape)
    blocks = samples[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8)
    return np.asarray(blocks.mean((1, 3)))


def _measure(path: Path, frames: Sequence[Deep], quality: int, effort: int) -> str:
    stream = io.BytesIO()
    options = roicodec.EncoderOptions(quality=quality, effort=effort)
    report = roicodec.encode(path, stream, options, roi=None)
    stream.seek(0)
    errors, slow = [], []
    with roicodec.open(stream) as video:
        for picture, luma in zip(video, frames, strict=True):
            difference = picture.y - luma / 4
            errors.append((difference**2).mean())
            slow.append((_means(difference) ** 2).mean())
    psnr = 10 * np.log10(255**2 / np.mean(errors))
    return f"{report.video_bytes:7d} bytes  {psnr:5.2f} dB  {np.sqrt(np.mean(slow)):.3f}"


def main() -> None:
    """One line for each source, quality and conversion."""
    parser = argparse.ArgumentParser(
        description="Bytes, PSNR-Y against the 10 bits, and RMS error of the means of 8x8 blocks in"
        " levels of 8 bits, for sources of 10 bits that are rounded or dithered."
    )
    parser.add_argument("clips", nargs="*", help="more sources, at half their size")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--effort", type=int, default=3)
    asked = parser.parse_args()
    sources = {"gradient": _gradient(asked.frames)}
    sources |= {Path(clip).stem: _halved(clip, asked.frames) for clip in asked.clips}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "deep.mkv")
        for name, frames in sources.items():
            _write(path, frames)
            for quality in _QUALITIES:
                for dithered in (False, True):
                    with mock.patch.object(Scaler, "dithers", dithered):
                        found = _measure(path, frames, quality, asked.effort)
                    way = "dithered" if dithered else "rounded"
                    print(f"{name:32s} q {quality}  {way:8s} {found}", flush=True)


if __name__ == "__main__":
    main()
