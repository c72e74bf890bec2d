"""What the saliency network learns from: fixations, outlines of objects, a teacher's maps.

The folder holds ``saliency/osie`` (photographs, fixation densities, ``fixations.json``),
``saliency/davis_masks/<name>/*.png`` with clips ``train/davis_<name>_long.mkv``, further clips in
``train``, and ``saliency/teacher/*.onnx``, a salient-object network whose maps stand in where there
is no truth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.encoder.roi.network import network_input, small_size
from roicodec.errors import InputError
from roicodec.picture import Picture
from roicodec.train.data import Clip, load_folder, picture_of

__all__ = ["DEV_CLIPS", "Labels", "Photo", "Sample", "Teacher", "davis_masks", "is_dev", "is_test",
           "photos", "prepare", "scene"]  # fmt: skip

DEV_CLIPS = ("cows", "scooter-black")
"""Clips with masks that are not trained on, but what constants and checkpoints are chosen by."""

_TEST_EVERY = 7
_DEV_EVERY, _DEV_FIRST = 14, 3
_PSEUDO_STEP, _MASK_STEP = 4, 2
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Bytes = NDArray[np.uint8]


def is_test(index: int) -> bool:
    """Whether a photograph, counted in order of name, is held out for testing."""
    return index % _TEST_EVERY == 0


def is_dev(index: int) -> bool:
    """Whether a photograph is not trained on, but used for choosing constants and checkpoints."""
    return index % _DEV_EVERY == _DEV_FIRST


@dataclass(frozen=True)
class Photo:
    """A photograph and where people looked.

    Attributes:
        name: without ending.
        picture: the photograph.
        density: of fixations, uint8 ``[h, w]``.
        points: fixations, float64 ``[N, 2]``, x and y in 0..1.
    """

    name: str
    picture: Picture
    density: Bytes
    points: NDArray[np.float64]

    def fixations(self) -> NDArray[np.bool_]:
        """Where somebody looked, on the grid of the density."""
        height, width = self.density.shape
        out = np.zeros((height, width), np.bool_)
        x, y = (self.points * (width, height)).astype(np.intp).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        out[y[inside], x[inside]] = True
        return out


@dataclass(frozen=True)
class Labels:
    """One kind of truth for one frame.

    Attributes:
        values: uint8 ``[h, w]``, 0..255.
        weight: of the loss.
    """

    values: Bytes
    weight: float = 1.0


@dataclass(frozen=True)
class Sample:
    """A frame at the network's size.

    Attributes:
        planes: uint8 ``[h, w, 3]``: Y, U, V.
        motion: uint8 ``[h, w, 2]``: the motion channels times 255.
        density: of fixations, or None.
        thing: chance of being the main object.
    """

    planes: Bytes
    motion: Bytes
    density: Labels | None
    thing: Labels


class Teacher:
    """A salient-object network in ONNX: RGB ``[1, 3, h, w]``, normalized, to ``[1, 1, h, w]``."""

    def __init__(self, path: Path) -> None:
        try:
            self._net = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise InputError(f"{path}: cannot be read as an ONNX network") from error

    def map(self, picture: Picture, previous: Picture | None) -> NDArray[np.float32]:
        width, height = small_size(picture.width, picture.height)
        size = -(-width // 32) * 32, -(-height // 32) * 32
        rgb = cv2.resize(_rgb(picture), size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        planes = ((rgb - _MEAN) / _SPREAD).transpose(2, 0, 1)
        self._net.setInput(np.ascontiguousarray(planes[None], np.float32))
        return np.asarray(self._net.forward()[0, 0], np.float32)


def photos(folder: Path) -> list[Photo]:
    """Every photograph of ``folder`` (``img/*.jpg``, ``map/*``, ``fixations.json``) by name.

    Raises:
        InputError: if there are none, or one lacks its map.
    """
    found = sorted((folder / "img").glob("*.jpg"))
    if not found:
        raise InputError(f"{folder}: no photographs in img/")
    fixations = json.loads((folder / "fixations.json").read_text())
    out = []
    for path in found:
        maps = sorted((folder / "map").glob(f"{path.stem}.*"))
        if not maps or path.stem not in fixations:
            raise InputError(f"{path}: has no fixation map or no fixations")
        points = np.array(fixations[path.stem], np.float64)
        out.append(Photo(path.stem, _picture(path), _gray(maps[0]), points))
    return out


def davis_masks(folder: Path) -> list[NDArray[np.bool_]]:
    """The masks of a clip, frame by frame, bool ``[H, W]``."""
    return [_gray(path) > 127 for path in sorted(folder.glob("*.png"))]


def prepare(data: Path, cache: Path, run: Path, pictures: Sequence[Photo]) -> list[Sample]:
    """Everything to train on, in memory.

    Args:
        data: the folder described above.
        cache: where clips are kept decoded.
        run: where the teacher's maps are kept.
        pictures: all photographs.
    """
    teacher = _Pseudo(data / "saliency" / "teacher", run / "teacher.npz")
    samples = []
    for index, photo in enumerate(pictures):
        if not is_test(index) and not is_dev(index):
            thing = teacher(f"photo/{photo.name}", photo.picture)
            samples.append(_sample(photo.picture, None, Labels(photo.density), thing))
    masks = data / "saliency" / "davis_masks"
    for clip in load_folder(data / "train", cache, motion=False):
        if len(clip.frames) == 1:
            continue
        name = scene(clip)
        annotated = (masks / name).is_dir()
        if annotated and clip.name.endswith("_long.mkv") and name not in DEV_CLIPS:
            truth = davis_masks(masks / name)
            for t, picture, previous in _frames(clip, _MASK_STEP):
                thing = Labels(truth[t].astype(np.uint8) * np.uint8(255))
                samples.append(_sample(picture, previous, None, thing))
        elif not annotated:
            for t, picture, previous in _frames(clip, _PSEUDO_STEP):
                thing = teacher(f"{clip.name}/{t}", picture)
                samples.append(_sample(picture, previous, None, thing))
    teacher.save()
    return samples


def scene(clip: Clip) -> str:
    """The name that the clips of one scene share, and their folder of masks has."""
    return re.sub(r"^davis_|(_\d+|_long)?\.\w+$", "", clip.name)


class _Pseudo:
    """The teacher's maps at a quarter of the network's size, computed once."""

    def __init__(self, folder: Path, cache: Path) -> None:
        found = sorted(folder.glob("*.onnx"))
        if not found:
            raise InputError(f"{folder}: no ONNX network to ask")
        self._teacher = Teacher(found[0])
        self._cache = cache
        self._maps: dict[str, Bytes] = dict(np.load(cache)) if cache.exists() else {}

    def __call__(self, name: str, picture: Picture) -> Labels:
        if name not in self._maps:
            values = np.rint(self._teacher.map(picture, None) * 255).astype(np.uint8)
            self._maps[name] = np.asarray(cv2.resize(values, None, fx=0.25, fy=0.25,
                                                     interpolation=cv2.INTER_AREA))  # fmt: skip
        return Labels(self._maps[name], 0.5)

    def save(self) -> None:
        np.savez(self._cache, allow_pickle=False, **self._maps)


def _frames(clip: Clip, step: int) -> Iterator[tuple[int, Picture, Picture | None]]:
    for t in range(step // 2, len(clip.frames), step):
        previous = None if t in clip.cuts else picture_of(clip.frames[t - 1])
        yield t, picture_of(clip.frames[t]), previous


def _sample(
    picture: Picture, previous: Picture | None, density: Labels | None, thing: Labels
) -> Sample:
    x = network_input(picture, previous).transpose(1, 2, 0)
    planes = np.rint(x[..., :3] * 64 + 128).astype(np.uint8)
    motion = np.rint(x[..., 3:] * 255).astype(np.uint8)
    small = x.shape[1] // 4, x.shape[0] // 4
    return Sample(planes, motion, density and _shrink(density, small), _shrink(thing, small))


def _shrink(labels: Labels, size: tuple[int, int]) -> Labels:
    values = cv2.resize(labels.values, size, interpolation=cv2.INTER_AREA)
    return replace(labels, values=np.asarray(values, np.uint8))


def _gray(path: Path) -> Bytes:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InputError(f"{path}: cannot be read as an image")
    return np.asarray(image, np.uint8)


def _picture(path: Path) -> Picture:
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        even = frame.reformat(frame.width // 2 * 2, frame.height // 2 * 2, "yuv420p")
        return picture_of(np.asarray(even.to_ndarray(), np.uint8))


def _rgb(picture: Picture) -> Bytes:
    i420 = np.concatenate([p.ravel() for p in picture.planes])
    shape = picture.height * 3 // 2, picture.width
    return np.asarray(cv2.cvtColor(i420.reshape(shape), cv2.COLOR_YUV2RGB_I420), np.uint8)
