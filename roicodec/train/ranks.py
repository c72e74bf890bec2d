"""The processes of a training run, started by ``torchrun``; one without it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Ranks", "joined"]

_T = TypeVar("_T")

_PATIENCE = timedelta(hours=24)
"""Time-out while the first rank decodes the data."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train together.

    Attributes:
        rank: number of this process; 0 logs and saves.
        local: its number on this machine.
        world: number of processes.
    """

    rank: int = 0
    local: int = 0
    world: int = 1

    def replica(self, module: nn.Module) -> nn.Module:
        """The module with rank 0's weights, whose gradients are the mean over the ranks.

        Args:
            module: returned as it is where there is one process.
        """
        if self.world == 1:
            return module
        # Quantizer steps take no part in results at 16 bits.
        return DistributedDataParallel(
            module, forward_sync_buffers=False, find_unused_parameters=True
        )

    def first_alone(self, run: Callable[[], _T]) -> _T:
        """Result of a function that writes files: local rank 0 runs it first, the others follow and
        find its files."""
        if self.world == 1:
            return run()
        if self.local:
            distributed.barrier()
        result = run()
        if not self.local:
            distributed.barrier()
        return result

    def agreed(self, decision: bool) -> bool:
        """Decision of rank 0, the same on all ranks."""
        if self.world == 1:
            return decision
        shared = torch.tensor([decision], dtype=torch.uint8)
        distributed.broadcast(shared, 0)
        return bool(shared)

    def gathered(self, value: object) -> list[Any]:
        """Values of all ranks on rank 0; an empty list on the others."""
        if self.world == 1:
            return [value]
        values: list[Any] | None = [None] * self.world if self.rank == 0 else None
        distributed.gather_object(value, values)
        return values or []


@contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that ``torchrun`` started with this process."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1:
        yield Ranks()
        return
    distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), int(os.environ["LOCAL_RANK"]), world)
        # A process must not leave while others may wait for its data.
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
