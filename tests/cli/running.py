"""The command line in processes of its own, and the small clip that it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

WIDTH, HEIGHT, FRAMES = 37, 22, 12


def in_process_of_its_own(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """``roicodec ARGUMENTS`` with the stand-in for the networks; options as Popen takes them, of
    which ``env`` is added to the environment."""
    return in_process([sys.executable, "-m", "tests.fake_codec", *map(str, arguments)], **options)


def in_process(command: list[str], **options: object) -> subprocess.Popen[bytes]:
    """A command that imports this very package; options as :func:`in_process_of_its_own`."""
    environment = {**os.environ, **options.pop("env", {})}  # type: ignore[dict-item]
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    return subprocess.Popen(command, env=environment, **options)  # type: ignore[call-overload,no-any-return]


def y4m(frames: int = FRAMES) -> bytes:
    """A clip of noise that moves sample by sample."""
    rng = np.random.default_rng(1)
    size = WIDTH * HEIGHT + 2 * ((WIDTH + 1) // 2) * ((HEIGHT + 1) // 2)
    start = rng.integers(0, 256, size).astype(np.uint8)
    out = [b"YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C420jpeg\n" % (WIDTH, HEIGHT)]
    for n in range(frames):
        out += [b"FRAME\n", np.roll(start, n).tobytes()]
    return b"".join(out)


def pictures(data: bytes) -> list[bytes]:
    """Samples of every picture of a Y4M file."""
    return data.split(b"FRAME\n")[1:]


def left_over(folder: Path) -> set[str]:
    """Names of everything in a folder."""
    return {p.name for p in folder.iterdir()}
