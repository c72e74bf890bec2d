"""Training data: a folder of clips and photographs, decoded once into memory-mapped planes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from roicodec.bitstream.constants import QUANTIZER_STEPS
from roicodec.encoder.motion.search import SearchPlane, search_pair
from roicodec.errors import InputError
from roicodec.picture import Picture

__all__ = ["MOTION_QUALITIES", "Batch", "Clip", "load_folder", "sample_intra", "to_tensors"]

VIDEO = {".avi", ".mkv", ".mov", ".mp4", ".webm", ".y4m"}
IMAGE = {".jpeg", ".jpg", ".png", ".webp"}
GRID = 16
MOTION_QUALITIES = (14, 26, 38)
"""Quality indices at which the motion of training clips is searched."""

_ONCE = {"": slice(None)}
_TIMES = {**_ONCE, " reversed": slice(None, None, -1), " halved": slice(None, None, 2)}
"""Variants of a clip: suffix of the name, and the frames in order."""

Planes = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """Decoded frames of one clip or photograph.

    Attributes:
        name: file name, with the suffix of its variant.
        frames: I420, uint8 ``[T, H * 3 / 2, W]``, memory-mapped; H and W multiples of 16.
        cuts: indices of first frames of scenes, 0 included.
        motion: motion fields in quarter samples, int16 ``[K, T, H / 8, W / 8, 2]``, one at each of
            :data:`MOTION_QUALITIES`; None if not searched.
    """

    name: str
    frames: Planes
    cuts: tuple[int, ...]
    motion: NDArray[np.int16] | None

    @property
    def height(self) -> int:
        return int(self.frames.shape[1]) * 2 // 3

    @property
    def width(self) -> int:
        return int(self.frames.shape[2])

    def runs(self, length: int) -> list[int]:
        """Start indices of all runs of ``length`` frames that contain no cut."""
        last = len(self.frames) - length
        return [s for s in range(last + 1) if not any(s < c < s + length for c in self.cuts)]


@dataclass
class Batch:
    """Planes in sample values 0..255, float32: y ``[B, H, W]``, u and v ``[B, H/2, W/2]``."""

    y: Tensor
    u: Tensor
    v: Tensor


def _decode(path: Path) -> Planes:
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="yuv420p") for f in _even(container.decode(video=0))]
    return np.stack(frames)


def _even(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    for frame in frames:
        yield frame.reformat(frame.width // 2 * 2, frame.height // 2 * 2, "yuv420p")


def _decoded(path: Path) -> Planes:
    return _crop_to_grid(_decode(path))


def _crop_to_grid(i420: Planes) -> Planes:
    height, width = i420.shape[1] * 2 // 3, i420.shape[2]
    h, w = height // GRID * GRID, width // GRID * GRID
    y = i420[:, :height][:, :h, :w]
    chroma = i420[:, height:].reshape(len(i420), 2, height // 2, width // 2)
    cropped = chroma[:, :, : h // 2, : w // 2].reshape(len(i420), h // 2, w)
    return np.concatenate((y, cropped), 1)


def planes_of(i420: Planes) -> tuple[Planes, Planes, Planes]:
    """Planes of I420 frames: Y ``[..., H, W]``, U and V ``[..., H/2, W/2]``.

    Args:
        i420: ``[..., H * 3 / 2, W]``.
    """
    h, w = i420.shape[-2] * 2 // 3, i420.shape[-1]
    chroma = i420[..., h:, :].reshape(*i420.shape[:-2], 2, h // 2, w // 2)
    return i420[..., :h, :], chroma[..., 0, :, :], chroma[..., 1, :, :]


def picture_of(i420: Planes, pts: int = 0) -> Picture:
    """Picture of duration 1.

    Args:
        i420: frame, ``[H * 3 / 2, W]``.
        pts: time stamp of the picture.
    """
    y, u, v = (np.ascontiguousarray(p) for p in planes_of(i420))
    return Picture(y, u, v, pts, 1)


def _find_cuts(i420: Planes) -> tuple[int, ...]:
    """First frames of scenes, by a jump of both histogram and samples; 0 included."""
    y = planes_of(i420)[0][:, ::4, ::4].astype(np.int16)
    cuts = [0]
    for t in range(1, len(y)):
        histograms = [np.histogram(y[k], 32, (0, 256))[0] / y[k].size for k in (t - 1, t)]
        overlap = np.minimum(*histograms).sum()
        if overlap < 0.75 and np.abs(y[t] - y[t - 1]).mean() > 20:
            cuts.append(t)
    return tuple(cuts)


def _search_motion(i420: Planes) -> NDArray[np.int16]:
    h, w = i420.shape[1] * 2 // 3, i420.shape[2]
    found = np.zeros((len(MOTION_QUALITIES), len(i420), h // 8, w // 8, 2), np.int16)
    before: SearchPlane | None = None
    for t, frame in enumerate(i420):
        plane = SearchPlane(picture_of(frame).y)
        for k, quality in enumerate(MOTION_QUALITIES):
            if before is not None:
                step = float(QUANTIZER_STEPS[quality])
                field = search_pair(plane, before, step=step)
                found[k, t] = field[: h // 8, : w // 8]
        before = plane
    return found


def _stored(path: Path, make: Callable[[], ArrayLike]) -> NDArray[Any]:
    """Memory-mapped array of a file, which is written first if it does not exist."""
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.tmp.npy")
        np.save(part, make())
        part.rename(path)
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def load_folder(folder: Path, cache: Path, *, motion: bool, times: bool = False) -> list[Clip]:
    """All clips and photographs below a folder, decoded once; later calls map the cached arrays.

    Args:
        folder: of the data.
        cache: folder of decoded arrays.
        motion: whether the motion of clips is searched.
        times: whether clips are added reversed and at half their frame rate.

    Raises:
        InputError: if there is nothing to train on.
    """
    cache.mkdir(parents=True, exist_ok=True)
    clips = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO | IMAGE):
        stamp = f"{path.resolve()}:{path.stat().st_size}"
        key = f"{path.stem}-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
        frames = _stored(cache / f"{key}.npy", partial(_decoded, path))
        if min(frames.shape[2], frames.shape[1] * 2 // 3) < 128:
            continue
        for tag, span in (_TIMES if times and len(frames) > 1 else _ONCE).items():
            taken, name = frames[span], key + tag.replace(" ", "-")
            vectors = None
            if motion and len(taken) > 1:
                vectors = _stored(cache / f"{name}.motion.npy", partial(_search_motion, taken))
            cuts = _stored(cache / f"{name}.cuts.npy", partial(_find_cuts, taken))
            clips.append(Clip(path.name + tag, taken, tuple(cuts.tolist()), vectors))
    if not clips:
        raise InputError(f"{folder}: no clips or photographs to train on")
    return clips


def to_tensors(i420: Sequence[Planes]) -> Batch:
    """Batch of I420 frames of one size."""
    planes = [planes_of(np.ascontiguousarray(f)) for f in i420]
    return Batch(*(torch.from_numpy(np.stack(p)).float() for p in zip(*planes, strict=True)))


def crop(i420: Planes, top: int, left: int, size: int) -> Planes:
    """Square crop of I420 frames, ``[..., size * 3 / 2, size]``.

    Args:
        i420: ``[..., H * 3 / 2, W]``.
        top, left, size: in luma samples, even.
    """
    y, u, v = planes_of(i420)
    half = size // 2
    parts = [y[..., top : top + size, left : left + size]]
    for c in (u, v):
        cropped = c[..., top // 2 : top // 2 + half, left // 2 : left // 2 + half]
        parts.append(cropped.reshape(*c.shape[:-2], half // 2, size))
    return np.concatenate(parts, -2)


def flip(i420: Planes) -> Planes:
    """I420 frames mirrored left to right."""
    planes = [p[..., ::-1] for p in planes_of(i420)]
    h, w = planes[0].shape[-2:]
    chroma = [p.reshape(*p.shape[:-2], h // 4, w) for p in planes[1:]]
    return np.concatenate((planes[0], *chroma), -2)


def sample_intra(clips: Sequence[Clip], rng: np.random.Generator, batch: int, size: int) -> Batch:
    """Random crops of random frames; all clips are equally likely.

    Args:
        clips: the data.
        rng: source of the random draws.
        batch: number of crops.
        size: their side in luma samples.
    """
    out = []
    for _ in range(batch):
        clip = clips[int(rng.integers(len(clips)))]
        frame = clip.frames[rng.integers(len(clip.frames))]
        top = 2 * int(rng.integers((clip.height - size) // 2 + 1))
        left = 2 * int(rng.integers((clip.width - size) // 2 + 1))
        patch = crop(frame, top, left, size)
        out.append(flip(patch) if rng.random() < 0.5 else patch)
    return to_tensors(out)
