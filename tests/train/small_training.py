"""Small training: clips, options of a run, its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from click.testing import CliRunner, Result

from roicodec.picture import Picture
from roicodec.train.command import train_command
from roicodec.train.fit import FitOptions, fit_network
from roicodec.train.loop import LoopOptions
from roicodec.train.ranks import Ranks
from tests import two_ranks

SIDE, FRAMES = 128, 7


def write_clip(path: Path, pictures: Sequence[Picture]) -> None:
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"qp": "4", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        for number, picture in enumerate(pictures):
            packed = np.concatenate([p.ravel() for p in picture.planes])
            frame = av.VideoFrame.from_ndarray(packed.reshape(-1, picture.width), "yuv420p")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))


def train(*arguments: object) -> Result:
    return CliRunner().invoke(train_command, [*map(str, arguments)], catch_exceptions=False)


def small_options(
    stage: str, data: Path, run: Path, *, steps: int, rate: float = 1e-3, **more: Any
) -> FitOptions:
    """A small run, with less data for the start of networks and quantizers."""
    start = two_ranks.BATCHES if stage == "intra" else 30
    small = {"batch": 2, "size": 64, "start_batches": start, "searched_steps": 3}
    loop = LoopOptions(steps, rate)
    return FitOptions(stage, data, run, run.parent / "cache", loop=loop, **{**small, **more})


def fit(options: FitOptions) -> dict[str, Any]:
    """The checkpoint of a run."""
    fit_network(options, Ranks())
    return checkpoint(options.run)


def checkpoint(run: Path) -> dict[str, Any]:
    saved: dict[str, Any] = torch.load(run / "last.pt", weights_only=True)
    assert list(saved)[:7] == ["net", "ema", "optimizer", "torch_rng", "task", "step", "seconds"]
    return saved
