"""Command line of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import torch

from roicodec.errors import InputError
from roicodec.networks.blocks import ANCHORS
from roicodec.train.fit import FitOptions, fit_network
from roicodec.train.loop import LoopOptions
from roicodec.train.ranks import joined

__all__ = ["train_command"]

_LOOP = LoopOptions()


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
    help="With --quantize: train the weight steps and biases of this bit-width alone.",
)
@click.option(
    "--coarsest",
    type=click.IntRange(1, ANCHORS - 1),
    help="Train the quality tables' vectors of the lowest qualities alone, so many of each table.",
)
@click.option(
    "--unmatched",
    is_flag=True,
    help="Train the vectors that replace features in intra-coded cells alone, on much new content.",
)
@click.option("--steps", default=_LOOP.steps, show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--size", default=128, show_default=True, help="Side of the crops, of 32s.")
@click.option("--length", default=7, show_default=True, help="Frames of a sequence (inter).")
@click.option("--unroll", default=1, show_default=True, help="Frames of a step (inter).")
@click.option("--rate", default=_LOOP.rate, show_default=True, help="Highest learning rate.")
@click.option("--seed", default=1, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option(
    "--compile", "compiled", is_flag=True, help="Through torch.compile; needs a C++ compiler."
)
def fit(threads: int, steps: int, rate: float, compiled: bool, **options: Any) -> None:
    """Train a network; a run that was interrupted continues from its last checkpoint.

    Under torchrun every process draws data of its own, --batch each.
    """
    try:
        chosen = FitOptions(**options, loop=LoopOptions(steps, rate, compiled))
    except InputError as error:
        raise click.UsageError(f"--{error}") from error
    torch.set_num_threads(threads)
    with joined() as ranks:
        fit_network(chosen, ranks)
