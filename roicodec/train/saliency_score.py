"""``python -m roicodec.train saliency-score``: the tables of ``docs/saliency.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from roicodec.bitstream.masks import Mask, cells_of
from roicodec.encoder.roi.auto import AutoRoi
from roicodec.encoder.roi.network import NetworkSaliency, load_saliency
from roicodec.encoder.roi.saliency import (
    SaliencyMap,
    SaliencyModel,
    SpectralMotion,
    spectral_residual,
)
from roicodec.media import Reader
from roicodec.picture import Picture
from roicodec.train.saliency_data import (
    DEV_CLIPS,
    Photo,
    Teacher,
    clip_masks,
    is_dev,
    is_test,
    photos,
    scene,
)
from roicodec.train.saliency_metrics import iou, scores, top_share

__all__ = ["saliency_score"]

_PRIOR_SIZE = (160, 90)
_SHARE = 0.2
_THINGS = ("davis_car-roundabout_426x240", "davis_horsejump-high_426x240")

Table = dict[str, dict[str, float]]
Frame = tuple[Picture, Picture | None]
Model = Callable[[Picture, Picture | None], NDArray[np.float32]]


@dataclass(frozen=True)
class _Clip:
    """Frames, each with the one before it, and masks of the same size."""

    name: str
    frames: list[Frame]
    masks: list[NDArray[np.bool_]]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="[default: released]")
@click.option("--threads", default=1, show_default=True)
def saliency_score(data: Path, weights: Path | None, threads: int) -> None:
    """Score saliency maps and the masks made of them; print Markdown tables."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    net = NetworkSaliency(load_file(weights)) if weights else load_saliency()
    pictures = photos(data / "saliency" / "osie")
    teacher = Teacher(next((data / "saliency" / "teacher").glob("*.onnx")))
    rest: dict[str, Model] = {
        "spectral residual": lambda now, before: spectral_residual(now.y),
        "spectral residual, motion, centre": SpectralMotion().map,
        "teacher": teacher.map,
        "network, fixations": lambda now, before: net.outputs(now, before)[0],
        "network, object": lambda now, before: net.outputs(now, before)[1],
        "network, both (`auto`)": net.map,
    }
    learned = [p for i, p in enumerate(pictures) if not is_test(i) and not is_dev(i)]
    prior = _mean(photo.density for photo in learned)
    test = [p for i, p in enumerate(pictures) if is_test(i)]
    click.echo(f"Fixations: {len(test)} held-out photographs of OSIE\n")
    _print(_score_photos({"centre prior": lambda now, before: prior, **rest}, test))

    clips = list(_test_clips(data))
    prior_of_things = _mean(
        cv2.resize(mask.astype(np.float32), _PRIOR_SIZE, interpolation=cv2.INTER_AREA)
        for path in sorted((data / "train").glob("*.mkv"))
        if scene(path.stem) not in DEV_CLIPS
        for mask in (clip_masks(data, path.stem) or [])[::4]
    )
    things = [clip for clip in clips if clip.name in _THINGS]
    click.echo(f"\nObjects: {', '.join(clip.name for clip in things)}, every frame\n")
    models = {"centre prior": lambda now, before: prior_of_things, **rest}
    _print(_score_clips(models, things))
    click.echo("\nMasks of annotated clips\n")
    _print(_masks(net, [*clips, *_dev_clips(data)]))


def _score_photos(models: Mapping[str, Model], test: Sequence[Photo]) -> Table:
    return {
        name: _means(
            scores(_fit(model(p.picture, None), p.density.shape), p.fixations(), p.density)
            for p in test
        )
        for name, model in models.items()
    }


def _score_clips(models: Mapping[str, Model], clips: Sequence[_Clip]) -> Table:
    def rows(model: Model) -> Iterator[dict[str, float]]:
        for clip in clips:
            for (now, before), mask in zip(clip.frames, clip.masks, strict=True):
                found = _fit(model(now, before), mask.shape)
                if mask.any():
                    yield {
                        **scores(found, mask, mask.astype(np.float32)),
                        "IoU": iou(top_share(found, float(mask.mean())), mask),
                    }

    return {name: _means(rows(model)) for name, model in models.items()}


def _masks(net: SaliencyModel, clips: Sequence[_Clip]) -> Table:
    out = {}
    for clip in clips:
        true = [cells_of(mask) for mask in clip.masks]
        row = {"annotated area": float(np.mean(true)), "annotated changes": _changes(true)}
        # The spectral model's map is no chance, so that it cannot choose its share.
        models: dict[str, tuple[SaliencyModel, float | None]] = {
            "network": (net, None),
            "spectral": (SpectralMotion(), _SHARE),
        }
        for name, (model, share) in models.items():
            found = _auto(model, clip.frames, share)
            both = list(zip(found, true, strict=True))
            row[f"{name} area"] = float(np.mean(found))
            row[f"{name} IoU"] = float(np.mean([iou(f, t) for f, t in both]))
            row[f"{name} recall"] = float(np.mean([f[t].mean() for f, t in both if t.any()]))
            row[f"{name} changes"] = _changes(found)
        out[clip.name] = row
    return out


def _auto(model: SaliencyModel, frames: Sequence[Frame], share: float | None) -> list[Mask]:
    height, width = frames[0][0].y.shape
    roi = AutoRoi(model, width, height, share=share)
    return [roi.mask(t, 0.0, now, before) for t, (now, before) in enumerate(frames)]


def _changes(masks: Sequence[Mask]) -> float:
    """Share of the cells that change from frame to frame."""
    return float(np.mean([np.mean(a != b) for a, b in pairwise(masks)]))


def _test_clips(data: Path) -> Iterator[_Clip]:
    """The annotated clips of ``valid`` and ``heldout``."""
    for folder, masks in ((data / "valid", data / "valid" / "masks"), (data / "heldout",) * 2):
        for path in sorted(masks.glob("*.npz")):
            with np.load(path) as file:
                yield _read(folder / f"{path.stem}.mkv", file["mask"] > 0)


def _dev_clips(data: Path) -> Iterator[_Clip]:
    for path in sorted((data / "train").glob("*.mkv")):
        masks = clip_masks(data, path.stem) if scene(path.stem) in DEV_CLIPS else None
        if masks:
            yield _read(path, masks)


def _read(path: Path, masks: Sequence[NDArray[np.bool_]]) -> _Clip:
    frames = _frames(path, len(masks))
    height, width = frames[0][0].y.shape
    large = [
        cv2.resize(m.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        for m in masks[: len(frames)]
    ]
    return _Clip(path.stem, frames, large)


def _frames(path: Path, count: int | None) -> list[Frame]:
    with Reader(str(path), slice(0, count)) as reader:
        return _with_previous(list(reader))


def _with_previous(pictures: Sequence[Picture]) -> list[Frame]:
    return list(zip(pictures, [None, *pictures[:-1]], strict=True))


def _mean(maps: Iterable[NDArray[np.generic]]) -> SaliencyMap:
    return np.asarray(np.mean([np.asarray(m, np.float32) for m in maps], 0), np.float32)


def _fit(saliency: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    size = shape[1], shape[0]
    return np.asarray(cv2.resize(saliency, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _means(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    listed = list(rows)
    return {name: float(np.mean([row[name] for row in listed])) for name in listed[0]}


def _print(rows: Mapping[str, Mapping[str, float]]) -> None:
    names = list(next(iter(rows.values())))
    click.echo("| | " + " | ".join(names) + " |")
    click.echo("| --- |" + " --- |" * len(names))
    for name, row in rows.items():
        click.echo(f"| {name} | " + " | ".join(f"{value:.3f}" for value in row.values()) + " |")
