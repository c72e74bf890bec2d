"""The program ``ffmpeg`` of the package imageio-ffmpeg, or what ``IMAGEIO_FFMPEG_EXE`` names.

It measures VMAF, and has encoders that the FFmpeg in PyAV lacks.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from roicodec.errors import InputError

__all__ = ["MISSING", "has_encoder", "has_vmaf", "program", "version", "vmaf"]

_GRAPH = (
    "[0:v]settb=1/1000,setpts=N[a];[1:v]settb=1/1000,setpts=N[b];"
    "[a][b]libvmaf=log_fmt=json:log_path=log"
)
"""Pictures are compared by their numbers, whatever times the files give them."""

MISSING = "pip install 'roicodec[vmaf]' brings an ffmpeg that has it"
"""What to do where there is no program, or not the right one."""


@cache
def program() -> str:
    """Path of the program; empty where there is none."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return ""


@cache
def version() -> str:
    """Version of the program, such as ``ffmpeg 7.1``; empty where there is none."""
    words = _said(["-version"]).split()
    return f"ffmpeg {words[2]}" if len(words) > 2 else ""


def has_encoder(name: str) -> bool:
    """Whether the program has an encoder, by FFmpeg's name of it."""
    return _listed("-encoders", name)


def has_vmaf() -> bool:
    """Whether the program measures VMAF."""
    return _listed("-filters", "libvmaf")


def _listed(what: str, name: str) -> bool:
    return any(name in line.split()[1:2] for line in _said([what]).splitlines())


@cache
def _listing(what: tuple[str, ...]) -> str:
    if not program():
        return ""
    command = [program(), "-hide_banner", *what]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout


def _said(words: Sequence[str]) -> str:
    return _listing(tuple(words))


def vmaf(source: Path, decoded: Path) -> list[float]:
    """VMAF of every picture, 0..100, by libvmaf's default model (version 0.6.1).

    Args:
        source, decoded: Y4M files of equally many pictures.

    Raises:
        InputError: if the program cannot measure it.
    """
    with tempfile.TemporaryDirectory(prefix="roicodec-vmaf-") as folder:
        command = [
            *(program(), "-v", "error", "-nostdin"),
            *("-i", str(decoded.resolve()), "-i", str(source.resolve())),
            *("-lavfi", _GRAPH, "-f", "null", "-"),
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        log = Path(folder, "log")
        if done.returncode or not log.exists():
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise InputError(f"VMAF cannot be measured: {lines[-1]}")
        frames = json.loads(log.read_text())["frames"]
    return [float(frame["metrics"]["vmaf"]) for frame in frames]
