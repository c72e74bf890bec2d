"""Small comparisons: a moving clip, masks for it, plans, a listener that remembers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from roicodec.evaluate.coders import Coder, anchor_coders, own_coder
from roicodec.evaluate.run import Encode, Listener, Plan
from roicodec.media import VideoInfo, Writer
from roicodec.picture import Picture
from tests.fake_codec import FakeFactory

RATE = Fraction(25)
WIDTH, HEIGHT, FRAMES = 90, 58, 5
CRF = (20, 26, 32, 38)


def write_clip(path: Path, seed: int, frames: int = FRAMES) -> Path:
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (HEIGHT + frames, WIDTH + frames)).astype(np.float64)
    for _ in range(3):
        wide = (wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1)) / 3
    wide = ((wide - wide.min()) / np.ptp(wide) * 255).astype(np.uint8)
    with Writer(path, VideoInfo(WIDTH, HEIGHT, 1 / RATE, RATE)) as writer:
        for n in range(frames):
            y = wide[n : n + HEIGHT, n : n + WIDTH].copy()
            writer.write(Picture(y, y[::2, ::2] // 2 + 64, 192 - y[::2, ::2] // 2, n, 1))
    return path


def own(config: str, roi: str, qualities: tuple[int, ...]) -> Coder:
    """roicodec with the stand-in for the networks."""
    return own_coder(config, roi, qualities, program=FakeFactory.command)


def write_masks(tmp_path: Path) -> Path:
    """A folder with a mask for the clip, not aligned to the 16x16 grid."""
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    mask[:, 20:40, 30:50] = 1
    folder = tmp_path / "masks"
    folder.mkdir()
    np.savez_compressed(folder / "moving.npz", mask=mask)
    return folder


class Log(Listener):
    def __init__(self) -> None:
        self.fresh: list[tuple[str, int]] = []
        self.again: list[tuple[str, int]] = []
        self.failures: list[str] = []
        self.messages: list[str] = []

    def done(self, encode: Encode, *, fresh: bool) -> None:
        (self.fresh if fresh else self.again).append((encode.codec, encode.setting))

    def failed(self, clip: str, codec: str, setting: int, message: str) -> None:
        self.failures.append(f"{clip} {codec} {setting}: {message}")

    def warn(self, message: str) -> None:
        self.messages.append(message)


def plan_of(clip: Path, out: Path, chosen: list[Coder], **changes: Any) -> Plan:
    fields = {"frames": None, "roi": "", "masks": "", **changes}
    return Plan((clip,), tuple(chosen), out=out, **fields)


def x264(crf: tuple[int, ...] = CRF, *, roi: bool = False) -> list[Coder]:
    return [c for c in anchor_coders("x264", "ld", crf, roi=roi)[0] if "psnr" not in c.name]
