"""Training data of the saliency network: fixations, outlines of objects, teachers' masks.

The folder holds ``saliency/osie`` (photographs, fixation densities, ``fixations.json``), masks of
the clips in ``train`` (``saliency/masks/NAME.npz``; ``saliency/davis_masks/<name>/*.png`` for
``davis_<name>_long.mkv``), masks that other networks found (``saliency/pseudo``), and
``saliency/teacher/*.onnx``, a salient-object network for the photographs.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.encoder.roi.inputs import NetworkInput, small_size
from roicodec.encoder.roi.scene import is_cut, thumbnail
from roicodec.errors import InputError
from roicodec.media import Reader
from roicodec.picture import Picture
from roicodec.train.data import picture_of

__all__ = ["DEV_CLIPS", "WEIGHTS", "Photo", "Sample", "Teacher", "clip_inputs", "clip_masks",
           "is_dev", "is_test", "photos", "prepare", "scene"]  # fmt: skip

DEV_CLIPS = ("cdnet_traffic", "cows", "dance-jump", "scooter-black")
"""Scenes with masks that are not trained on, but what constants and checkpoints are chosen by."""

_TEST_EVERY = 7
_DEV_EVERY, _DEV_FIRST = 14, 3
_STEP = 2
_BODY = 0.5
"""Weight of a person against 1 of a face: the outline and the fixations disagree."""
_WITHOUT_PEOPLE = ("nature", "vehicles", "driving", "objects", "texture", "hands")
"""Beginnings of the class names of clips that show hardly anybody."""
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Bytes = NDArray[np.uint8]
Truth = dict[int, Bytes]


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
        """Positions where somebody looked, on the grid of the density."""
        height, width = self.density.shape
        out = np.zeros((height, width), np.bool_)
        x, y = (self.points * (width, height)).astype(np.intp).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        out[y[inside], x[inside]] = True
        return out


@dataclass(frozen=True)
class Sample:
    """A frame at the network's size.

    Attributes:
        kind: where its truth comes from: a key of :data:`WEIGHTS`.
        source: the photograph or clip; draws go by it.
        planes: uint8 ``[h, w, 3]``: Y, U, V.
        motion: uint8 ``[h, w, 4]``: the motion channels times 255.
        density: of fixations, uint8 ``[h/4, w/4]``, or None.
        thing: chance of being what matters times 255, uint8 ``[h/4, w/4]``.
        roles: of being a face, and a person, uint8 ``[2, h/4, w/4]``.
        known: which of the two roles is known.
    """

    kind: str
    source: str
    planes: Bytes
    motion: Bytes
    density: Bytes | None
    thing: Bytes
    roles: Bytes
    known: tuple[bool, bool]


WEIGHTS = {"photos": 0.4, "masks": 1.0, "motion": 0.8, "people": 0.7, "things": 0.5}
"""Weight of the object's loss by where the truth comes from."""


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


def _davis_masks(folder: Path) -> list[NDArray[np.bool_]]:
    """The masks of a clip, frame by frame, bool ``[H, W]``."""
    return [_gray(path) > 127 for path in sorted(folder.glob("*.png"))]


def clip_masks(data: Path, name: str) -> list[NDArray[np.bool_]] | None:
    """The true masks of the clip ``train/NAME.mkv``, frame by frame; None if there are none."""
    path = data / "saliency" / "masks" / f"{name}.npz"
    if path.exists():
        return list(np.load(path)["mask"])
    folder = data / "saliency" / "davis_masks" / scene(name)
    return _davis_masks(folder) if folder.is_dir() and name.endswith("_long") else None


def scene(name: str) -> str:
    """The name that the clips of one scene share, and their folder of masks has."""
    return re.sub(r"^davis_|(_\d+|_long)$", "", name)


def prepare(data: Path, cache: Path, pictures: Sequence[Photo]) -> list[Sample]:
    """All training samples, in memory.

    Args:
        data: the folder described above.
        cache: where the inputs of clips and the teacher's maps are kept.
        pictures: all photographs.
    """
    cache.mkdir(parents=True, exist_ok=True)
    samples = list(_photo_samples(data, cache, pictures))
    classes = _classes(data / "MANIFEST.csv")
    for path in sorted((data / "train").glob("*.mkv")):
        if scene(path.stem) in DEV_CLIPS:
            continue
        found = _truth(data, path.stem)
        if found is None:
            continue
        kind, truth = found
        planes, motion = _inputs(path, cache)
        pseudo = data / "saliency" / "pseudo"
        faces, people = (
            _by_frame(pseudo / teacher / f"{path.stem}.npz") for teacher in ("face", "selfie")
        )
        nobody = classes.get(path.stem, "").startswith(_WITHOUT_PEOPLE)
        known = bool(faces) or (kind != "people" and not people), bool(people) or nobody
        frames = [t for t in sorted(truth) if t < len(planes)]
        step = _STEP if len(frames) == len(planes) else 1
        for t in frames[step - 1 :: step]:
            thing = _shrink(truth[t], planes[t])
            roles = [
                _shrink(role[t], planes[t]) if t in role else np.zeros_like(thing)
                for role in (faces, people)
            ]
            samples.append(
                Sample(kind, path.stem, planes[t], motion[t], None, thing, np.stack(roles), known)
            )
    return samples


def _classes(manifest: Path) -> dict[str, str]:
    """Content classes of the clips of ``train``, by name."""
    with manifest.open(newline="", encoding="utf-8") as file:
        return {Path(row["file"]).stem: row["class"] for row in csv.DictReader(file)}


def _truth(data: Path, name: str) -> tuple[str, Truth] | None:
    """Source and masks of what matters in a clip, by frame, from the best source there is."""
    masks = clip_masks(data, name)
    if masks is not None:
        return "masks", {t: _scaled(mask) for t, mask in enumerate(masks)}
    if (data / "saliency" / "davis_masks" / scene(name)).is_dir():
        return None  # a part of a clip that is there as a whole
    pseudo = data / "saliency" / "pseudo"
    motion, people, faces, things = (
        _by_frame(pseudo / teacher / f"{name}.npz")
        for teacher in ("motion", "selfie", "face", "u2netp")
    )
    if motion:
        return "motion", motion
    if people:
        blank = np.zeros_like(next(iter(people.values())))
        return "people", {
            t: np.maximum((body * _BODY).astype(np.uint8), _like(faces.get(t, blank), body))
            for t, body in people.items()
        }
    return ("things", things) if things else None


def _by_frame(path: Path) -> Truth:
    """A teacher's maps, or masks, by frame; none where the file is not."""
    if not path.exists():
        return {}
    with np.load(path) as file:
        maps = file["prob"] if "prob" in file.files else file["mask"]
        frames = file["frames"] if "frames" in file.files else np.arange(len(maps))
        return {int(t): _scaled(m) for t, m in zip(frames, maps, strict=True)}


def _scaled(mask: NDArray[np.generic]) -> Bytes:
    values = mask.astype(np.uint8)
    return values * np.uint8(255) if mask.dtype == np.bool_ or values.max() <= 1 else values


def _inputs(path: Path, cache: Path) -> tuple[Bytes, Bytes]:
    """Planes ``[T, h, w, 3]`` and motion ``[T, h, w, 4]`` of a clip at the network's size."""
    kept = cache / f"{path.stem}.npz"
    if not kept.exists():
        with Reader(str(path)) as reader:
            pictures = list(reader)
        see = NetworkInput()
        marks = [thumbnail(picture) for picture in pictures]
        parts = [
            _parts(see(now, pictures[t - 1] if t and not is_cut(marks[t], marks[t - 1]) else None))
            for t, now in enumerate(pictures)
        ]
        planes, motion = (np.stack(part) for part in zip(*parts, strict=True))
        np.savez(kept, planes=planes, motion=motion)
    with np.load(kept) as file:
        return file["planes"], file["motion"]


def clip_inputs(path: Path, cache: Path) -> NDArray[np.float32]:
    """The network's input for every frame of a clip, float32 ``[T, 7, h, w]``, cached as bytes."""
    planes, motion = _inputs(path, cache)
    x = np.concatenate(((planes.astype(np.float32) - 128) / 64, motion / np.float32(255)), -1)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def _parts(x: NDArray[np.float32]) -> tuple[Bytes, Bytes]:
    """An input as bytes: planes ``[h, w, 3]`` and motion ``[h, w, 4]``."""
    y = x.transpose(1, 2, 0)
    planes = np.rint(y[..., :3] * 64 + 128).astype(np.uint8)
    return planes, np.rint(y[..., 3:] * 255).astype(np.uint8)


def _photo_samples(data: Path, cache: Path, pictures: Sequence[Photo]) -> Iterator[Sample]:
    kept = cache / "teacher.npz"
    if not kept.exists():
        teacher = Teacher(next((data / "saliency" / "teacher").glob("*.onnx")))
        np.savez(kept, allow_pickle=False, **{
            photo.name: np.rint(teacher.map(photo.picture, None) * 255).astype(np.uint8)
            for index, photo in enumerate(pictures)
            if not is_test(index) and not is_dev(index)
        })  # fmt: skip
    with np.load(kept) as maps:
        for index, photo in enumerate(pictures):
            if not is_test(index) and not is_dev(index):
                better = _by_frame(
                    data / "saliency" / "pseudo" / "u2netp_photos" / f"osie_{photo.name}.npz"
                )
                planes, motion = _parts(NetworkInput()(photo.picture, None))
                thing = _shrink(better[0] if better else maps[photo.name], planes)
                density = _shrink(photo.density, planes)
                roles = np.zeros((2, *thing.shape), np.uint8)
                yield Sample(
                    "photos", photo.name, planes, motion, density, thing, roles, (False, False)
                )


def _shrink(values: Bytes, planes: Bytes) -> Bytes:
    size = planes.shape[1] // 4, planes.shape[0] // 4
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.uint8)


def _like(values: Bytes, other: Bytes) -> Bytes:
    size = other.shape[1], other.shape[0]
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.uint8)


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
