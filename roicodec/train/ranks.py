"""Training by several processes at once, as ``torchrun`` starts them; by one without it."""

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
"""How long others wait for the first to decode the data."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train together.

    Attributes:
        rank: number of this one; 0 logs and saves.
        local: its number on this machine.
        world: how many there are.
    """

    rank: int = 0
    local: int = 0
    world: int = 1

    def replica(self, module: nn.Module) -> nn.Module:
        """Start from rank 0's weights; from now on gradients are the mean over the ranks."""
        if self.world == 1:
            return module
        # At 16 bits the steps of the quantizers have no part in a result.
        return DistributedDataParallel(
            module, forward_sync_buffers=False, find_unused_parameters=True
        )

    def first_alone(self, run: Callable[[], _T]) -> _T:
        """Run on one process of each machine, then, what it wrote being there, on the others."""
        if self.world == 1:
            return run()
        if self.local:
            distributed.barrier()
        result = run()
        if not self.local:
            distributed.barrier()
        return result

    def agreed(self, decision: bool) -> bool:
        """What rank 0 decides."""
        if self.world == 1:
            return decision
        told = torch.tensor([decision], dtype=torch.uint8)
        distributed.broadcast(told, 0)
        return bool(told)

    def gathered(self, value: object) -> list[Any]:
        """The values of all ranks, on rank 0; nothing on the others."""
        if self.world == 1:
            return [value]
        values: list[Any] | None = [None] * self.world if self.rank == 0 else None
        distributed.gather_object(value, values)
        return values or []


@contextmanager
def joined() -> Iterator[Ranks]:
    """Meet the processes that ``torchrun`` started with this one."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1:
        yield Ranks()
        return
    distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), int(os.environ["LOCAL_RANK"]), world)
        # None leaves while others may still wait for what it sent.
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
