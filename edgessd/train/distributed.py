"""Training of one model by several processes, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class DistributedGroup:
    """This process's place among the processes that train together.

    Attributes:
        rank: Number of this process, from 0.
        world_size: Number of processes.
        local_rank: Number of this process on its machine, which is also its GPU.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_leader(self) -> bool:
        """True in the one process that evaluates, writes files and reports."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Return a model whose gradients are averaged over the group."""
        if self.world_size == 1:
            return model
        devices = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=devices)

    @contextmanager
    def without_averaging(self, model: nn.Module, active: bool) -> Iterator[None]:
        """While active, let backward passes accumulate gradients without averaging them."""
        if active and isinstance(model, nn.parallel.DistributedDataParallel):
            with model.no_sync():
                yield
        else:
            yield

    def barrier(self) -> None:
        """Wait until every process has called this."""
        if self.world_size > 1:
            dist.barrier()

    def from_leader(self, value: T) -> T:
        """Return the leader's value in every process."""
        if self.world_size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def any(self, flag: bool) -> bool:
        """True if the flag is true in any process."""
        if self.world_size == 1:
            return flag
        flags: list[bool] = [False] * self.world_size
        dist.all_gather_object(flags, flag)
        return any(flags)


@contextmanager
def join_group(wanted_device: str) -> Iterator[DistributedGroup]:
    """Join the group that torchrun's environment variables describe; without them, train alone."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield DistributedGroup()
        return
    on_cuda = wanted_device != "cpu" and torch.cuda.is_available()
    dist.init_process_group("nccl" if on_cuda else "gloo")
    try:
        yield DistributedGroup(
            rank=dist.get_rank(),
            world_size=world_size,
            local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        )
    finally:
        dist.destroy_process_group()
