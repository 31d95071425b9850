"""Several processes training one model, as `torchrun` starts them."""

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
    """This process among those that train together."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_leader(self) -> bool:
        """Whether this process evaluates, writes and speaks."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model whose gradients are averaged over the group."""
        if self.world_size == 1:
            return model
        devices = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=devices)

    @contextmanager
    def without_averaging(self, model: nn.Module, keep: bool) -> Iterator[None]:
        """Within it, a backward pass adds to this process's gradients without averaging them."""
        if keep and isinstance(model, nn.parallel.DistributedDataParallel):
            with model.no_sync():
                yield
        else:
            yield

    def barrier(self) -> None:
        """Go on when every process has come here."""
        if self.world_size > 1:
            dist.barrier()

    def from_leader(self, value: T) -> T:
        """The leader's value, in every process."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        if self.world_size == 1:
            return flag
        flags: list[bool] = [False] * self.world_size
        dist.all_gather_object(flags, flag)
        return any(flags)


@contextmanager
def join_group(wanted_device: str) -> Iterator[DistributedGroup]:
    """Join the group that torchrun's environment describes; alone without it."""
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
