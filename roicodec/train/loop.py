"""Optimization loop of a training run, with its checkpoint and its log."""

from __future__ import annotations

import copy
import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from torch import Tensor, nn

from roicodec.networks.frame_net import FrameNet, FrameOutput
from roicodec.train.losses import RateDistortion, relative_weight
from roicodec.train.ranks import Ranks
from roicodec.train.stages import Stage

__all__ = ["LoopOptions", "ParameterGroup", "optimize", "parameter_groups"]

_WARM_UP = 200
"""Steps of the learning rate's linear warm-up."""

_LOGGED = 100
"""Steps whose mean is a row of the log."""

_SLOW = 0.2
"""Learning rate of the transforms that start as the KLT, relative to that of the rest."""

_BANDS = 4
"""Number of equal bands of quality that are logged apart."""


@dataclass(frozen=True)
class LoopOptions:
    """Optimization of a training run.

    Attributes:
        steps: total number of steps.
        rate: highest learning rate.
        compiled: whether the network runs through torch.compile.
        save_seconds: least time between two checkpoints.
    """

    steps: int = 10_000
    rate: float = 1e-3
    compiled: bool = False
    save_seconds: float = 180.0

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine down to a hundredth."""
        warm = min(1.0, (step + 1) / _WARM_UP)
        share = min(1.0, step / self.steps)
        return self.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate.

    Attributes:
        parameters: of a network.
        scale: their learning rate, relative to that of the step.
    """

    parameters: list[nn.Parameter]
    scale: float


def parameter_groups(net: FrameNet) -> list[ParameterGroup]:
    """All parameters of a network; the transforms, which start as the KLT, move slowly."""
    slow = [*net.down.parameters(), *net.up.parameters()]
    known = {id(p) for p in slow}
    rest = [p for p in net.parameters() if id(p) not in known]
    return [ParameterGroup(rest, 1.0), ParameterGroup(slow, _SLOW)]


class _Step(nn.Module):
    """A step of a stage as a module, for DistributedDataParallel: all its frames are one call."""

    def __init__(self, net: Callable[..., FrameOutput], task: Stage) -> None:
        super().__init__()
        self.net, self.task = net, task

    def forward(self) -> tuple[RateDistortion, Tensor]:
        return self.task.step(self.net)


def optimize(
    net: FrameNet,
    task: Stage,
    run: Path,
    options: LoopOptions,
    ranks: Ranks,
    started: Callable[[int], object] | None = None,
) -> None:
    """Training of a network from its checkpoint in ``run``, if there is one.

    Args:
        net: the network.
        task: draws the data of each step.
        run: folder of ``last.pt`` and ``curve.csv``.
        options: of the loop.
        ranks: the processes that train together.
        started: called at the start of every step with the number of steps done.
    """
    step_of = ranks.replica(_Step(torch.compile(net) if options.compiled else net, task))
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / "last.pt"
    ema = copy.deepcopy(net)
    groups = [{"params": g.parameters, "scale": g.scale} for g in parameter_groups(net)]
    optimizer = torch.optim.Adam(groups, lr=options.rate, betas=(0.9, 0.98))
    step, seconds = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        ema.load_state_dict(saved["ema"])
        optimizer.load_state_dict(saved["optimizer"])
        for state in [saved, *saved.get("others", [])][ranks.rank : ranks.rank + 1]:
            torch.set_rng_state(state["torch_rng"])
            task.load_state(state["task"])
        step, seconds = saved["step"], saved["seconds"]
    began = saved_at = time.time()
    log = _Log(run / "curve.csv")
    while step < options.steps:
        if started:
            started(step)
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate(step) * group["scale"]
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
        log.add(result, quality, loss, norm)
        if log.count == _LOGGED or step == options.steps:
            row = log.row(step, seconds + time.time() - began)
            if ranks.rank == 0:
                log.write(row)
        due = time.time() - saved_at >= options.save_seconds or step == options.steps
        if ranks.agreed(due):
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


class _Log:
    """Means of every value in four bands of quality, row by row.

    Args:
        path: CSV file to append to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clear()

    def _clear(self) -> None:
        self.count = 0
        self._bands = {name: torch.zeros(_BANDS) for name in ("n", "bpp", "mse_y", "loss")}
        self._weighted = self._norm = 0.0

    def add(self, result: RateDistortion, quality: Tensor, loss: Tensor, norm: Tensor) -> None:
        """Next step: results and quality of its frames, weighted loss, norm of the gradient."""
        band = quality.div(16).long().clamp(0, _BANDS - 1)
        self._bands["n"].index_add_(0, band, torch.ones(len(band)))
        for name in ("bpp", "mse_y", "loss"):
            self._bands[name].index_add_(0, band, result[name].detach())
        self._weighted += float(loss.detach())
        self._norm += float(norm)
        self.count += 1

    def row(self, step: int, seconds: float) -> dict[str, float]:
        """The row of the steps since the last one."""
        n = self._bands["n"].clamp_min(1)
        bpp, mse, loss = (self._bands[name] / n for name in ("bpp", "mse_y", "loss"))
        row: dict[str, float] = {"step": step, "seconds": round(seconds, 1)}
        row["weighted"] = round(self._weighted / self.count, 5)
        row["norm"] = round(self._norm / self.count, 3)
        for b in range(_BANDS):
            row[f"bpp{b}"] = round(float(bpp[b]), 4)
            row[f"psnr{b}"] = round(10 * math.log10(255**2 / max(1e-9, float(mse[b]))), 3)
            row[f"loss{b}"] = round(float(loss[b]), 4)
        self._clear()
        return row

    def write(self, row: dict[str, float]) -> None:
        """Next row of the file, also printed."""
        new = not self._path.exists()
        with self._path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        click.echo(" ".join(f"{k}={v}" for k, v in row.items()))
