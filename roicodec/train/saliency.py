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
from safetensors.torch import load_file, save_file
from torch import Tensor

from roicodec.encoder.roi.inputs import INPUTS, NetworkInput
from roicodec.train.saliency_data import (
    DEV_CLIPS,
    WEIGHTS,
    Photo,
    Sample,
    clip_inputs,
    clip_masks,
    is_dev,
    photos,
    prepare,
    scene,
)
from roicodec.train.saliency_metrics import cc, iou, nss, top_share
from roicodec.train.saliency_net import SaliencyNet

__all__ = ["saliency"]

_SIZE = (128, 208)
_SHARES = {"photos": 5, "masks": 4, "motion": 1, "people": 2, "things": 1}
_LOG_EVERY = 50
_CHECK_EVERY = 300
_DECAY = 0.998
_ROLES = 0.5
_NO_MOTION, _NO_BACKGROUND = 0.2, 0.15

Floats = NDArray[np.float32]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--run", type=click.Path(path_type=Path), required=True, help="Checkpoints, logs.")
@click.option("--cache", type=click.Path(path_type=Path), default=Path("runs/cache"))
@click.option("--out", type=click.Path(path_type=Path), help="Write the released weights here.")
@click.option("--start", type=click.Path(path_type=Path, exists=True), help="Released weights.")
@click.option("--roles-only", is_flag=True, help="Leave all but faces and people as it is.")
@click.option("--steps", default=4000, show_default=True)
@click.option("--rate", default=2e-3, show_default=True, help="Highest learning rate.")
@click.option("--seed", default=1, show_default=True)
@click.option("--threads", default=1, show_default=True)
def saliency(
    data: Path,
    run: Path,
    cache: Path,
    out: Path | None,
    start: Path | None,
    roles_only: bool,
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
    samples = prepare(data, cache, pictures)
    check = _Check(data, cache, pictures)
    net = _train(
        begin(start), Batches(samples, seed), check, run, steps, rate, roles_only=roles_only
    )
    if out:
        net.eval().fold()
        click.echo(f"{out}: {check(net)}")
        save_file({n: w.half().contiguous() for n, w in net.state_dict().items()}, out)


def begin(start: Path | None) -> SaliencyNet:
    """A new network, or a released one: that has its normalizations folded, and keeps them so.

    Input channels that it did not have begin without effect, outputs that it did not have anew.
    """
    net = SaliencyNet()
    if start is not None:
        net.fold()
        weights = {name: w.float() for name, w in load_file(start).items()}
        stem = "stem.0.weight"
        missing = INPUTS - weights[stem].shape[1]
        weights[stem] = F.pad(weights[stem], (0, 0, 0, 0, 0, missing))
        for name, own in net.state_dict().items():
            if name.startswith(("head.", "smooth.")):
                had = weights[name]
                weights[name] = torch.cat((had, own[len(had) :]))
        net.load_state_dict(weights)
    return net


class Batches:
    """Random batches: a fixed number of each kind, cropped, mirrored, and changed in tone."""

    def __init__(self, samples: Sequence[Sample], seed: int) -> None:
        self._kinds: dict[str, dict[str, list[Sample]]] = {}
        for sample in samples:
            sources = self._kinds.setdefault(sample.kind, {})
            sources.setdefault(sample.source, []).append(sample)
        self._rng = np.random.default_rng(seed)

    def draw(self) -> tuple[Tensor, ...]:
        """Input ``[B, 7, h, w]``, density (of sum 1, or 0 where unknown) and object
        ``[B, h/4, w/4]``, the object's weight ``[B]``, faces and people ``[B, 2, h/4, w/4]``, and
        which of them are known ``[B, 2]``."""
        drawn = []
        for kind, count in _SHARES.items():
            pool = list(self._kinds.get(kind, {}).values())
            for index in self._rng.integers(len(pool), size=count if pool else 0):
                frames = pool[index]
                drawn.append(self._vary(frames[self._rng.integers(len(frames))]))
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))

    def _vary(self, sample: Sample) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
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
        x[3:] = cut(sample.motion, _SIZE).transpose(2, 0, 1) / 255 * (rng.random() > _NO_MOTION)
        x[-1] *= rng.random() > _NO_BACKGROUND
        small = h // 4, w // 4
        density = np.zeros(small, np.float32)
        if sample.density is not None:
            density = cut(sample.density, small)
            density /= max(float(density.sum()), 1e-6)
        thing = cut(sample.thing, small) / np.float32(255)
        roles = cut(sample.roles.transpose(1, 2, 0), small).transpose(2, 0, 1) / np.float32(255)
        weight = np.asarray(WEIGHTS[sample.kind], np.float32)
        return x, density, thing, weight, roles, np.asarray(sample.known, np.float32)


def _window(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Left, top, width, height of a window, in shares of the frame; often the whole frame."""
    kind = rng.random()
    if kind < 0.3:
        return 0.0, 0.0, 1.0, 1.0
    aspect = math.exp(rng.uniform(-0.2, 0.2))
    if kind > 0.85:  # seen from further away, with a mirror around
        side = rng.uniform(1.0, 1.6)
        w, h = side * aspect, side / aspect
        return min(0.0, (1 - w) / 2), min(0.0, (1 - h) / 2), max(w, 1.0), max(h, 1.0)
    side = rng.uniform(0.6, 1.0)
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
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.ascontiguousarray(out[:, ::-1] if flip else out, np.float32)


def losses(
    logits: Tensor, density: Tensor, thing: Tensor, weight: Tensor, roles: Tensor, known: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses of fixations (KLD - CC/2 - NSS/10, NSS under the density), of the object, of faces
    and people where they are known (cross entropy and soft IoU); means over those that count.

    Args:
        logits: of the network, ``[B, 4, h, w]``.
        density, thing, weight, roles, known: as :meth:`Batches.draw` returns them.
    """
    looked = density.flatten(1).sum(1) > 0
    p = density[looked].flatten(1)
    log_q = logits[looked, 0].flatten(1).log_softmax(1)
    q = log_q.exp()
    divergence = F.kl_div(log_q, p, reduction="none").sum(1)
    z, zp = (_standard(m) for m in (q, p))
    agreement = (z * zp).mean(1)
    gain = (z * p).sum(1)
    fixations = (divergence - 0.5 * agreement - 0.1 * gain).mean()
    return (
        fixations,
        (_outline(logits[:, 1], thing) * weight).mean(),
        (_outline(logits[:, 2:], roles) * known).sum() / known.sum().clamp_min(1),
    )


def _outline(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy and half of what is missing in the soft IoU, over the last two dimensions."""
    cross = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((-2, -1))
    chance = logits.sigmoid()
    both = (chance * truth).sum((-2, -1))
    either = (chance + truth - chance * truth).sum((-2, -1)).clamp_min(1e-3)
    somewhere = truth.sum((-2, -1)) > 0
    return cross + 0.5 * (1 - both / either) * somewhere


def _standard(maps: Tensor) -> Tensor:
    centred = maps - maps.mean(1, keepdim=True)
    spread: Tensor = centred.square().mean(1, keepdim=True).sqrt().clamp_min(1e-9)
    return centred / spread


class _Check:
    """Scores on what is kept for choosing: photographs and annotated clips."""

    def __init__(self, data: Path, cache: Path, pictures: Sequence[Photo]) -> None:
        self._photos = [p for index, p in enumerate(pictures) if is_dev(index)]
        self._inputs = [NetworkInput()(p.picture, None) for p in self._photos]
        self._clips: dict[str, list[tuple[Floats, NDArray[np.bool_]]]] = {}
        for path in sorted((data / "train").glob("*.mkv")):
            truth = clip_masks(data, path.stem) if scene(path.stem) in DEV_CLIPS else None
            if truth:
                inputs = clip_inputs(path, cache)
                last = min(len(truth), len(inputs))
                self._clips[scene(path.stem)] = [
                    (inputs[t], truth[t]) for t in range(4, last, 6) if truth[t].any()
                ]

    def __call__(self, net: SaliencyNet) -> dict[str, float]:
        net.eval()
        rows: list[tuple[float, float]] = []
        overlaps: list[float] = []
        with torch.inference_mode():
            for x, photo in zip(self._inputs, self._photos, strict=True):
                logits = net(torch.from_numpy(x)[None])[0, 0]
                found = _resized(logits.flatten().softmax(0).view_as(logits), photo.density.shape)
                rows.append((cc(found, photo.density), nss(found, photo.fixations())))
            for frames in self._clips.values():
                one = []
                for x, mask in frames:
                    found = _resized(net(torch.from_numpy(x)[None])[0, 1], mask.shape)
                    one.append(iou(top_share(found, float(mask.mean())), mask))
                overlaps.append(float(np.mean(one)))
        net.train()
        means = [*np.mean(rows, 0), np.mean(overlaps)]
        return {k: round(float(v), 4) for k, v in zip(("CC", "NSS", "IoU"), means, strict=True)}


def _resized(found: Tensor, shape: tuple[int, ...]) -> Floats:
    size = shape[1], shape[0]
    return np.asarray(cv2.resize(found.numpy(), size, interpolation=cv2.INTER_LINEAR), np.float32)


def _train(
    net: SaliencyNet,
    batches: Batches,
    check: Callable[[SaliencyNet], dict[str, float]],
    run: Path,
    steps: int,
    rate: float,
    *,
    roles_only: bool = False,
) -> SaliencyNet:
    """Moving average of the network over its training."""
    if roles_only:
        net.requires_grad_(False)
        net.head.requires_grad_(True)
        net.smooth.requires_grad_(True)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(
        [p for p in net.parameters() if p.requires_grad],
        lr=rate,
        weight_decay=0 if roles_only else 1e-2,  # it would pull at the other outputs, too
    )
    checkpoint, step, seconds = run / "last.pt", 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        step, seconds = saved["step"], saved["seconds"]
    began, sums = time.time() - seconds, np.zeros(3)
    while step < steps:
        for group in optimizer.param_groups:
            warm = min(1.0, (step + 1) / 200)
            group["lr"] = rate * warm * (0.005 + 0.4975 * (1 + math.cos(math.pi * step / steps)))
        x, *truth = batches.draw()
        parts = losses(net(x.contiguous(memory_format=torch.channels_last)), *truth)
        optimizer.zero_grad(set_to_none=True)
        total = parts[2] if roles_only else parts[0] + parts[1] + _ROLES * parts[2]
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        step += 1
        _follow(average, net, min(_DECAY, (1 + step) / (10 + step)))
        sums += [float(part.detach()) for part in parts]
        if step % _LOG_EVERY == 0 or step == steps:
            row = {"step": step, "seconds": round(time.time() - began, 1),
                   "fixations": round(sums[0] / _LOG_EVERY, 4),
                   "thing": round(sums[1] / _LOG_EVERY, 4),
                   "roles": round(sums[2] / _LOG_EVERY, 4)}  # fmt: skip
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
    names = ["step", "seconds", "fixations", "thing", "roles", "CC", "NSS", "IoU"]
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        if new:
            writer.writeheader()
        writer.writerow(row)
    click.echo(" ".join(f"{k}={v}" for k, v in row.items()))
