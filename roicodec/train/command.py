"""Command line of the training."""

from __future__ import annotations

import copy
import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from torch import Tensor, nn

from roicodec.bitstream.constants import LATENT_CHANNELS, PAD
from roicodec.errors import InputError
from roicodec.networks.blocks import ANCHORS
from roicodec.networks.frame_net import FrameNet, FrameOutput
from roicodec.networks.quantized import (
    QuantizedBlock,
    free_coarsest,
    free_only,
    free_unmatched,
    load_network,
    quantize_network,
)
from roicodec.train.checkpoints import trained_network
from roicodec.train.data import Clip, load_folder, sample_intra
from roicodec.train.klt import block_covariance, klt_basis
from roicodec.train.losses import RateDistortion, relative_weight
from roicodec.train.ranks import Ranks, joined
from roicodec.train.revive import revive
from roicodec.train.stages import PARTS, WARM_UP, InterStage, IntraStage, Stage, packed_centred

__all__ = ["train_command"]

_INTRA_BATCHES, _INTER_BATCHES = 60, 80
"""Batches whose transform the networks start as."""

_MUCH_NEW = 0.5
"""Share of frames with new content where what stands for features is trained."""


def _learning_rate(step: int, steps: int, top: float) -> float:
    """Linear warm-up over 200 steps, then a cosine down to a hundredth."""
    warm = min(1.0, (step + 1) / 200)
    share = min(1.0, step / steps)
    return top * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def _start_intra(net: FrameNet, clips: list[Clip], seed: int) -> None:
    import numpy as np

    rng = np.random.default_rng(seed)
    covariance = sum(
        block_covariance(packed_centred(sample_intra(clips, rng, 16, 128)))
        for _ in range(_INTRA_BATCHES)
    )
    assert isinstance(covariance, Tensor)
    net.start_from_klt(*klt_basis(covariance / _INTRA_BATCHES))


def _start_inter(net: FrameNet, stage: InterStage) -> None:
    """KLT of prediction residuals: the untrained network codes what the warp leaves over."""
    total = torch.zeros(LATENT_CHANNELS, LATENT_CHANNELS)
    for _ in range(_INTER_BATCHES):
        with torch.no_grad():
            stage.step(net)
        total += block_covariance(stage.residual)
    net.start_from_klt(*klt_basis(total / _INTER_BATCHES))


@click.group()
def train_command() -> None:
    """Train the networks and release them."""


@train_command.command()
@click.argument("stage", type=click.Choice(["intra", "inter"]))
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--run", type=click.Path(path_type=Path), required=True, help="Checkpoints, logs.")
@click.option("--cache", type=click.Path(path_type=Path), default=Path("runs/cache"))
@click.option(
    "--intra",
    "intra_path",
    type=click.Path(path_type=Path, exists=True),
    help="Network of first frames (inter).",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path, exists=True),
    help="Checkpoint or released .safetensors to start from.",
)
@click.option("--quantize", is_flag=True, help="Train with quantization, at random bit-widths.")
@click.option(
    "--bits",
    type=click.IntRange(2, 8),
    help="With --quantize: train what this bit-width has of its own, and leave all others as good"
    " as they are.",
)
@click.option(
    "--coarsest",
    type=click.IntRange(1, ANCHORS - 1),
    help="Train the first so many vectors of the quality tables, at the qualities that use them,"
    " and nothing else.",
)
@click.option(
    "--unmatched",
    is_flag=True,
    help="Train what stands for the features of cells without a match, in much new content, and"
    " nothing else.",
)
@click.option("--steps", default=10_000, show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--size", default=128, show_default=True, help="Side of the crops, of 32s.")
@click.option("--length", default=7, show_default=True, help="Frames of a sequence (inter).")
@click.option("--unroll", default=1, show_default=True, help="Frames of a step (inter).")
@click.option("--rate", default=1e-3, show_default=True, help="Highest learning rate.")
@click.option("--seed", default=1, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option(
    "--compile", "compiled", is_flag=True, help="Through torch.compile; needs a C++ compiler."
)
def fit(
    stage: str,
    data: Path,
    run: Path,
    cache: Path,
    intra_path: Path | None,
    init: Path | None,
    quantize: bool,
    bits: int | None,
    coarsest: int | None,
    unmatched: bool,
    steps: int,
    batch: int,
    size: int,
    length: int,
    unroll: int,
    rate: float,
    seed: int,
    threads: int,
    compiled: bool,
) -> None:
    """Train a network; a run that was interrupted continues from its last checkpoint.

    Under torchrun every process draws data of its own, --batch each.
    """
    if size % PAD:
        raise click.UsageError(f"--size {size}: must be a multiple of {PAD}")
    if compiled and quantize:
        raise click.UsageError("--compile: not with --quantize, which needs a graph for each pair")
    if bits and not quantize:
        raise click.UsageError("--bits: only with --quantize")
    if (bits is not None) + (coarsest is not None) + unmatched > 1:
        raise click.UsageError("--bits, --coarsest and --unmatched exclude each other")
    if unmatched and stage != "inter":
        raise click.UsageError("--unmatched: only inter frames have such cells")
    if quantize and not bits and batch < PARTS:
        raise click.UsageError(f"--batch {batch}: --quantize splits it in {PARTS}")
    if stage == "inter" and intra_path is None:
        raise click.UsageError("--intra: name the checkpoint of a trained intra network")
    torch.set_num_threads(threads)
    with joined() as ranks:
        own = seed + ranks.rank
        torch.manual_seed(own)
        inter = stage == "inter"
        clips = ranks.first_alone(lambda: load_folder(data, cache, motion=inter, times=inter))
        net = load_network(FrameNet(inter).state_dict(), inter)
        task: Stage
        if intra_path and inter:
            intra = trained_network(intra_path, False)
            task = InterStage(clips, own, batch, size, intra, length, unroll)
        else:
            task = IntraStage(clips, own, batch, size)
        checkpoint = run / "last.pt"
        if checkpoint.exists():
            net = load_network(torch.load(checkpoint, weights_only=False)["net"], inter)
            if quantize and not _is_quantized(net):
                raise InputError(
                    f"{checkpoint}: not quantized; name another --run, and it as --init"
                )
            task.quantized = quantize
        elif init:
            net = trained_network(init, inter)
            if not quantize and not _is_quantized(net):
                count = revive(net, lambda: task.step(net))
                click.echo(f"{init}: {count} hidden channels that never fired start anew")
        else:
            _start_intra(net, clips, seed)
            if isinstance(task, InterStage):
                _start_inter(net, task)
        if quantize and not checkpoint.exists():
            _quantize(net, task)
        if bits:
            free_only(net, bits, widen=not checkpoint.exists())
            task.bits = bits
        if coarsest:
            task.finest = free_coarsest(net, coarsest)
        if unmatched:
            free_unmatched(net)
            task.new_content = _MUCH_NEW
        _train(net, task, run, steps, rate, compiled, ranks)


def _is_quantized(net: FrameNet) -> bool:
    return any(isinstance(m, QuantizedBlock) for m in net.modules())


def _quantize(net: FrameNet, task: Stage) -> None:
    def run() -> None:
        with torch.no_grad():
            task.step(net)

    for _ in range(WARM_UP):
        run()
    if not _is_quantized(net):
        quantize_network(net, run)
    task.quantized = True


def _groups(net: FrameNet, rate: float) -> list[dict[str, object]]:
    """The transforms start as the KLT, and move slowly."""
    slow = [*net.down.parameters(), *net.up.parameters()]
    known = {id(p) for p in slow}
    rest = [p for p in net.parameters() if id(p) not in known]
    return [{"params": rest, "scale": 1.0}, {"params": slow, "scale": 0.2}]


class _Step(nn.Module):
    """A step of a stage as a module, for DistributedDataParallel: all its frames are one call."""

    def __init__(self, net: Callable[..., FrameOutput], task: Stage) -> None:
        super().__init__()
        self.net, self.task = net, task

    def forward(self) -> tuple[RateDistortion, Tensor]:
        return self.task.step(self.net)


def _train(
    net: FrameNet,
    task: Stage,
    run: Path,
    steps: int,
    rate: float,
    compiled: bool,
    ranks: Ranks,
) -> None:
    step_of = ranks.replica(_Step(torch.compile(net) if compiled else net, task))
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / "last.pt"
    ema = copy.deepcopy(net)
    optimizer = torch.optim.Adam(_groups(net, rate), lr=rate, betas=(0.9, 0.98))
    step, seconds = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=False)
        net.load_state_dict(saved["net"])
        ema.load_state_dict(saved["ema"])
        optimizer.load_state_dict(saved["optimizer"])
        for state in [saved, *saved.get("others", [])][ranks.rank : ranks.rank + 1]:
            torch.set_rng_state(state["torch_rng"])
            task.load_state(state["task"])
        step, seconds = saved["step"], saved["seconds"]
    began, sums, count = time.time(), dict[str, Tensor](), 0
    saved_at = began
    while step < steps:
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, steps, rate) * group["scale"]
        result, quality = step_of()
        loss = (result["loss"] * relative_weight(result["loss"], quality, task.batch)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        if norm.isfinite():
            optimizer.step()
        step += 1
        decay = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - decay)
        band = quality.div(16).long().clamp(0, 3)
        for name, values in {**result, "weighted": loss.expand(1), "norm": norm.expand(1)}.items():
            total = sums.setdefault(name, torch.zeros(4))
            total.index_add_(0, band[: len(values)] if len(values) > 1 else torch.tensor([0]),
                             values.detach())  # fmt: skip
        sums.setdefault("n", torch.zeros(4)).index_add_(0, band, torch.ones(len(band)))
        count += 1
        if count == 100 or step == steps:
            if ranks.rank == 0:
                _log(run, step, seconds + time.time() - began, sums, count)
            sums, count = {}, 0
        if ranks.agreed(time.time() - saved_at > 180 or step == steps):
            drawn = {"torch_rng": torch.get_rng_state(), "task": task.state()}
            if everyone := ranks.gathered(drawn):
                state = {
                    "net": net.state_dict(),
                    "ema": ema.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    **drawn,
                    "step": step,
                    "seconds": seconds + time.time() - began,
                }
                if ranks.world > 1:
                    state["others"] = everyone[1:]
                torch.save(state, checkpoint.with_suffix(".tmp"))
                checkpoint.with_suffix(".tmp").rename(checkpoint)
            saved_at = time.time()


def _log(run: Path, step: int, seconds: float, sums: dict[str, Tensor], count: int) -> None:
    """Append a row: the mean of every value, in four bands of quality."""
    n = sums["n"].clamp_min(1)
    row: dict[str, float] = {"step": step, "seconds": round(seconds, 1)}
    row["weighted"] = round(float(sums["weighted"][0]) / count, 5)
    row["norm"] = round(float(sums["norm"][0]) / count, 3)
    for b in range(4):
        row[f"bpp{b}"] = round(float(sums["bpp"][b] / n[b]), 4)
        mse = max(1e-9, float(sums["mse_y"][b] / n[b]))
        row[f"psnr{b}"] = round(10 * math.log10(255**2 / mse), 3)
        row[f"loss{b}"] = round(float(sums["loss"][b] / n[b]), 4)
    path = run / "curve.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
    click.echo(" ".join(f"{k}={v}" for k, v in row.items()))
