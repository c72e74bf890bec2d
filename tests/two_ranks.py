"""Program of each torchrun process in the tests: check the communication, then train one step.

``torchrun … -m tests.two_ranks DATA CACHE RUN``
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from roicodec.train.fit import FitOptions, fit_network
from roicodec.train.loop import LoopOptions
from roicodec.train.ranks import Ranks, joined

BATCHES = 8
"""Batches over which the initial transform is measured."""


class _Module(nn.Module):
    """Weights and buffers that differ between ranks at first."""

    exponent: Tensor
    ready: Tensor

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.used = nn.Parameter(torch.full((3,), float(rank)))
        self.unused = nn.Parameter(torch.full((2,), float(rank)))
        self.register_buffer("exponent", torch.full((2,), 5.0 - rank))
        self.register_buffer("ready", torch.tensor([rank == 0]))

    def forward(self, factor: float) -> dict[str, torch.Tensor]:
        return {"loss": (factor * self.used).sum()}


def check(ranks: Ranks) -> None:
    assert ranks.world == 2
    assert ranks.agreed(ranks.rank == 0)
    assert not ranks.agreed(ranks.rank == 1)
    assert ranks.gathered(ranks.rank) == ([0, 1] if ranks.rank == 0 else [])
    assert ranks.first_alone(lambda: ranks.rank) == ranks.rank
    module = _Module(ranks.rank)
    replica = ranks.replica(module)
    replica(factor=1.0 + 2 * ranks.rank)["loss"].backward()
    assert module.used.tolist() == [0, 0, 0]
    assert module.unused.tolist() == [0, 0]
    assert module.exponent.tolist() == [5, 5]
    assert module.ready.tolist() == [True]
    assert module.used.grad is not None
    assert module.used.grad.tolist() == [2, 2, 2]
    print(f"rank {ranks.rank} agrees")


def main(data: Path, cache: Path, run: Path) -> None:
    options = FitOptions(
        *("intra", data, run, cache),
        batch=2,
        size=64,
        loop=LoopOptions(steps=1),
        start_batches=BATCHES,
    )
    with joined() as ranks:
        check(ranks)
        fit_network(options, ranks)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
