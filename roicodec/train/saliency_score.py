"""``python -m roicodec.train saliency-score``: the tables of ``docs/saliency.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

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
from roicodec.train.data import load_folder, picture_of
from roicodec.train.saliency_data import (
    DEV_CLIPS,
    Photo,
    Teacher,
    davis_masks,
    is_dev,
    is_test,
    photos,
    scene,
)
from roicodec.train.saliency_metrics import iou, scores, top_share

__all__ = ["saliency_score"]

_SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)

Table = dict[str, dict[str, float]]
Frame = tuple[Picture, Picture | None]
Model = Callable[[Picture, Picture | None], NDArray[np.float32]]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--cache", type=click.Path(path_type=Path), default=Path("runs/cache"))
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="[default: released]")
@click.option("--threads", default=1, show_default=True)
def saliency_score(data: Path, cache: Path, weights: Path | None, threads: int) -> None:
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

    davis = data / "saliency" / "davis_masks"
    training = {scene(c) for c in load_folder(data / "train", cache, motion=False)}
    names = sorted(p.name for p in davis.iterdir())
    prior_of_things = _mean(
        m.astype(np.float32)
        for name in names
        if name in training and name not in DEV_CLIPS
        for m in davis_masks(davis / name)[::4]
    )
    held_out = [name for name in names if name not in training]
    click.echo(f"\nObjects: {', '.join(held_out)}, every frame\n")
    _print(
        _score_clips(
            {"centre prior": lambda now, before: prior_of_things, **rest},
            [_clip(data / "valid", davis, name) for name in held_out],
        )
    )
    click.echo("\nShare of the area, on photographs and clips kept for choosing\n")
    dev = [p for i, p in enumerate(pictures) if is_dev(i)]
    _print(_by_share(net, dev, list(_dev_clips(data, cache))))
    click.echo("\nMasks of the validation clips\n")
    _print(_masks(net, data / "valid"))


def _score_photos(models: Mapping[str, Model], test: Sequence[Photo]) -> Table:
    return {
        name: _means(
            scores(_fit(model(p.picture, None), p.density.shape), p.fixations(), p.density)
            for p in test
        )
        for name, model in models.items()
    }


def _score_clips(
    models: Mapping[str, Model], clips: Sequence[tuple[list[Frame], list[Mask]]]
) -> Table:
    def rows(model: Model) -> Iterator[dict[str, float]]:
        for frames, masks in clips:
            for (now, before), mask in zip(frames, masks, strict=True):
                found = _fit(model(now, before), mask.shape)
                yield {
                    **scores(found, mask, mask.astype(np.float32)),
                    "IoU": iou(top_share(found, float(mask.mean())), mask),
                }

    return {name: _means(rows(model)) for name, model in models.items()}


def _by_share(
    net: SaliencyModel, test: Sequence[Photo], clips: Sequence[tuple[list[Frame], list[Mask]]]
) -> Table:
    """How much of fixations and objects the mask catches, at different shares of area."""
    out = {}
    for share in _SHARES:
        rows = []
        for photo in test:
            height, width = photo.picture.y.shape
            mask = AutoRoi(net, width, height, share=share).mask(0, 0.0, photo.picture, None)
            x, y = (photo.points * (width, height) / 16).astype(int).T
            inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
            hits = float(mask[y[inside], x[inside]].mean())
            rows.append({"area": float(mask.mean()), "fixations in it": hits,
                         "less area": hits - float(mask.mean())})  # fmt: skip
        things = []
        for frames, masks in clips:
            for found, true in zip(_auto(net, frames, share), map(cells_of, masks), strict=True):
                inside_it = float(found[true].mean())
                things.append({"area, clips": float(found.mean()), "object in it": inside_it,
                               "IoU": iou(found, true)})  # fmt: skip
        out[f"{share:g}"] = {**_means(rows), **_means(things)}
    return out


def _masks(net: SaliencyModel, folder: Path) -> Table:
    out = {}
    for path in sorted((folder / "masks").glob("*.npz")):
        masks = np.load(path)["mask"] > 0
        frames = _frames(folder / f"{path.stem}.mkv", len(masks))
        true = [cells_of(mask) for mask in masks]
        row = {"annotated area": float(np.mean(true)), "annotated changes": _changes(true)}
        models: dict[str, SaliencyModel] = {"network": net, "spectral": SpectralMotion()}
        for name, model in models.items():
            found = _auto(model, frames, None)
            both = zip(found, true, strict=True)
            row[f"{name} IoU"] = float(np.mean([iou(f, t) for f, t in both]))
            row[f"{name} recall"] = float(
                np.mean([f[t].mean() for f, t in zip(found, true, strict=True) if t.any()])
            )
            row[f"{name} changes"] = _changes(found)
        out[path.stem] = row
    return out


def _auto(model: SaliencyModel, frames: Sequence[Frame], share: float | None) -> list[Mask]:
    height, width = frames[0][0].y.shape
    roi = AutoRoi(model, width, height, **({} if share is None else {"share": share}))
    return [roi.mask(t, 0.0, now, before) for t, (now, before) in enumerate(frames)]


def _changes(masks: Sequence[Mask]) -> float:
    """Share of the cells that change from frame to frame."""
    return float(np.mean([np.mean(a != b) for a, b in pairwise(masks)]))


def _clip(folder: Path, davis: Path, name: str) -> tuple[list[Frame], list[Mask]]:
    frames = _frames(next(folder.glob(f"*{name}*")), None)
    return frames, davis_masks(davis / name)[: len(frames)]


def _dev_clips(data: Path, cache: Path) -> Iterator[tuple[list[Frame], list[Mask]]]:
    for clip in load_folder(data / "train", cache, motion=False):
        if scene(clip) in DEV_CLIPS and clip.name.endswith("_long.mkv"):
            size = clip.width, clip.height
            masks = davis_masks(data / "saliency" / "davis_masks" / scene(clip))
            large = [cv2.resize(m.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
                     for m in masks[: len(clip.frames)]]  # fmt: skip
            yield _with_previous([picture_of(f) for f in clip.frames]), large


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
