"""``python -m roicodec.train saliency``: train the saliency network."""

from __future__ import annotations

import copy
import csv
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from roicodec.encoder.roi.network import INPUTS, SaliencyNet, network_input
from roicodec.train.data import load_folder, picture_of
from roicodec.train.saliency_data import (
    DEV_CLIPS,
    Photo,
    Sample,
    davis_masks,
    is_dev,
    photos,
    prepare,
    scene,
)
from roicodec.train.saliency_metrics import cc, iou, nss, top_share

__all__ = ["saliency"]

_SIZE = (160, 256)
_SHARES = {"fixations": 5, "masks": 3, "pseudo": 4}
_LOG_EVERY = 50
_CHECK_EVERY = 300
_DECAY = 0.998

Floats = NDArray[np.float32]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--run", type=click.Path(path_type=Path), required=True, help="Checkpoints, logs.")
@click.option("--cache", type=click.Path(path_type=Path), default=Path("runs/cache"))
@click.option("--out", type=click.Path(path_type=Path), help="Write the released weights here.")
@click.option("--steps", default=4000, show_default=True)
@click.option("--rate", default=2e-3, show_default=True, help="Highest learning rate.")
@click.option("--seed", default=1, show_default=True)
@click.option("--threads", default=1, show_default=True)
def saliency(
    data: Path,
    run: Path,
    cache: Path,
    out: Path | None,
    steps: int,
    rate: float,
    seed: int,
    threads: int,
) -> None:
    """Train the saliency network; a run that was interrupted continues from its checkpoint."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    torch.manual_seed(seed)
    run.mkdir(parents=True, exist_ok=True)
    pictures = photos(data / "saliency" / "osie")
    samples = prepare(data, cache, run, pictures)
    check = _Check(data, cache, pictures)
    net = _train(Batches(samples, seed), check, run, steps, rate)
    if out:
        net.eval().fold()
        click.echo(f"{out}: {check(net)}")
        save_file({n: w.half().contiguous() for n, w in net.state_dict().items()}, out)


class Batches:
    """Draws batches: so many of each kind, cropped, mirrored, and changed in tone at random."""

    def __init__(self, samples: Sequence[Sample], seed: int) -> None:
        self._kinds = {
            "fixations": [s for s in samples if s.density],
            "masks": [s for s in samples if not s.density and s.thing.weight == 1],
            "pseudo": [s for s in samples if not s.density and s.thing.weight < 1],
        }
        self._rng = np.random.default_rng(seed)

    def draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Input ``[B, 5, h, w]``, density (of sum 1, or 0 where unknown) and object
        ``[B, h/4, w/4]``, and the object's weight ``[B]``."""
        drawn = []
        for kind, count in _SHARES.items():
            pool = self._kinds[kind]
            for index in self._rng.integers(len(pool), size=count if pool else 0):
                drawn.append(self._vary(pool[index]))
        x, density, thing, weight = (np.stack(part) for part in zip(*drawn, strict=True))
        return tuple(torch.from_numpy(a) for a in (x, density, thing, weight))  # type: ignore[return-value]

    def _vary(self, sample: Sample) -> tuple[Floats, Floats, Floats, np.float32]:
        rng = self._rng
        window = _window(rng)
        flip = rng.random() < 0.5
        h, w = _SIZE

        def cut(values: NDArray[np.uint8], shape: tuple[int, int]) -> Floats:
            return _cut(values, window, shape, flip=flip)

        x = np.empty((INPUTS, h, w), np.float32)
        planes = (cut(sample.planes, _SIZE) - 128) / 64
        planes[..., 0] = planes[..., 0] * rng.uniform(0.7, 1.3) + rng.normal(0, 0.15)
        planes[..., 1:] *= rng.uniform(0.5, 1.4) * (rng.random() > 0.08)
        planes[..., 1:] += rng.normal(0, 0.06, 2)
        x[:3] = planes.transpose(2, 0, 1)
        x[3:] = cut(sample.motion, _SIZE).transpose(2, 0, 1) / 255 * (rng.random() > 0.25)
        small = h // 4, w // 4
        density = np.zeros(small, np.float32)
        if sample.density:
            density = cut(sample.density.values, small)
            density /= max(float(density.sum()), 1e-6)
        thing = cut(sample.thing.values, small) / np.float32(255)
        return x, density, thing, np.float32(sample.thing.weight)


def _window(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Left, top, width, height of a crop, in shares of the frame; often the whole frame."""
    if rng.random() < 0.3:
        return 0.0, 0.0, 1.0, 1.0
    side, aspect = rng.uniform(0.6, 1.0), math.exp(rng.uniform(-0.2, 0.2))
    w, h = min(1.0, side * aspect), min(1.0, side / aspect)
    return rng.uniform(0, 1 - w), rng.uniform(0, 1 - h), w, h


def _cut(
    values: NDArray[np.uint8],
    window: tuple[float, float, float, float],
    shape: tuple[int, int],
    *,
    flip: bool,
) -> Floats:
    left, top, width, height = window
    sx, sy = width * values.shape[1] / shape[1], height * values.shape[0] / shape[0]
    place = np.array(
        [
            [sx, 0, left * values.shape[1] + sx / 2 - 0.5],
            [0, sy, top * values.shape[0] + sy / 2 - 0.5],
        ]
    )
    out = cv2.warpAffine(
        values,
        place,
        shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.ascontiguousarray(out[:, ::-1] if flip else out, np.float32)


def losses(logits: Tensor, density: Tensor, thing: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of the fixations (KLD - CC/2 - NSS/10, NSS under the density) and of the object (cross
    entropy and soft IoU, at half the weight for a teacher's map); means over those that count."""
    known = density.flatten(1).sum(1) > 0
    p = density[known].flatten(1)
    log_q = logits[known, 0].flatten(1).log_softmax(1)
    q = log_q.exp()
    divergence = F.kl_div(log_q, p, reduction="none").sum(1)
    z, zp = (_standard(m) for m in (q, p))
    agreement = (z * zp).mean(1)
    gain = (z * p).sum(1)
    fixations = (divergence - 0.5 * agreement - 0.1 * gain).mean()
    cross = F.binary_cross_entropy_with_logits(logits[:, 1], thing, reduction="none")
    chance = logits[:, 1].sigmoid()
    both, either = chance * thing, chance + thing - chance * thing
    overlap = both.flatten(1).sum(1) / either.flatten(1).sum(1).clamp_min(1e-3)
    return fixations, ((cross.flatten(1).mean(1) + 0.5 * (1 - overlap)) * weight).mean()


def _standard(maps: Tensor) -> Tensor:
    centred = maps - maps.mean(1, keepdim=True)
    spread: Tensor = centred.square().mean(1, keepdim=True).sqrt().clamp_min(1e-9)
    return centred / spread


class _Check:
    """Scores on what is kept for choosing: photographs and two annotated clips."""

    def __init__(self, data: Path, cache: Path, pictures: Sequence[Photo]) -> None:
        self._photos = [p for index, p in enumerate(pictures) if is_dev(index)]
        self._inputs = [network_input(p.picture, None) for p in self._photos]
        self._frames: list[tuple[Floats, NDArray[np.bool_]]] = []
        for clip in load_folder(data / "train", cache, motion=False):
            if scene(clip) in DEV_CLIPS and clip.name.endswith("_long.mkv"):
                truth = davis_masks(data / "saliency" / "davis_masks" / scene(clip))
                for t in range(2, len(clip.frames), 5):
                    x = network_input(picture_of(clip.frames[t]), picture_of(clip.frames[t - 1]))
                    self._frames.append((x, truth[t]))

    def __call__(self, net: SaliencyNet) -> dict[str, float]:
        net.eval()
        rows: list[tuple[float, float]] = []
        overlaps: list[float] = []
        with torch.inference_mode():
            for x, photo in zip(self._inputs, self._photos, strict=True):
                logits = net(torch.from_numpy(x)[None])[0, 0]
                found = _resized(logits.flatten().softmax(0).view_as(logits), photo.density.shape)
                rows.append((cc(found, photo.density), nss(found, photo.fixations())))
            for x, mask in self._frames:
                found = _resized(net(torch.from_numpy(x)[None])[0, 1], mask.shape)
                overlaps.append(iou(top_share(found, float(mask.mean())), mask))
        net.train()
        means = [*np.mean(rows, 0), np.mean(overlaps)]
        return {k: round(float(v), 4) for k, v in zip(("CC", "NSS", "IoU"), means, strict=True)}


def _resized(found: Tensor, shape: tuple[int, ...]) -> Floats:
    size = shape[1], shape[0]
    return np.asarray(cv2.resize(found.numpy(), size, interpolation=cv2.INTER_LINEAR), np.float32)


def _train(
    batches: Batches,
    check: Callable[[SaliencyNet], dict[str, float]],
    run: Path,
    steps: int,
    rate: float,
) -> SaliencyNet:
    """Returns the moving average of the network."""
    net = SaliencyNet()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    checkpoint, step, seconds = run / "last.pt", 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        step, seconds = saved["step"], saved["seconds"]
    began, sums = time.time() - seconds, np.zeros(2)
    while step < steps:
        for group in optimizer.param_groups:
            warm = min(1.0, (step + 1) / 200)
            group["lr"] = rate * warm * (0.005 + 0.4975 * (1 + math.cos(math.pi * step / steps)))
        x, *truth = batches.draw()
        parts = losses(net(x.contiguous(memory_format=torch.channels_last)), *truth)
        optimizer.zero_grad(set_to_none=True)
        (parts[0] + parts[1]).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        step += 1
        _follow(average, net, min(_DECAY, (1 + step) / (10 + step)))
        sums += [float(part.detach()) for part in parts]
        if step % _LOG_EVERY == 0 or step == steps:
            row = {"step": step, "seconds": round(time.time() - began, 1),
                   "fixations": round(sums[0] / _LOG_EVERY, 4),
                   "thing": round(sums[1] / _LOG_EVERY, 4)}  # fmt: skip
            sums[:] = 0
            if step % _CHECK_EVERY == 0 or step == steps:
                row |= check(average)
                state = {"net": net.state_dict(), "average": average.state_dict(),
                         "optimizer": optimizer.state_dict(), "step": step,
                         "seconds": time.time() - began}  # fmt: skip
                torch.save(state, checkpoint.with_suffix(".tmp"))
                checkpoint.with_suffix(".tmp").rename(checkpoint)
            _log(run / "curve.csv", row)
    return average


def _follow(average: SaliencyNet, net: SaliencyNet, decay: float) -> None:
    with torch.no_grad():
        for slow, fast in zip(average.state_dict().values(), net.state_dict().values(),
                              strict=True):  # fmt: skip
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - decay)
            else:
                slow.copy_(fast)


def _log(path: Path, row: dict[str, float]) -> None:
    names = ["step", "seconds", "fixations", "thing", "CC", "NSS", "IoU"]
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        if new:
            writer.writeheader()
        writer.writerow(row)
    click.echo(" ".join(f"{k}={v}" for k, v in row.items()))
