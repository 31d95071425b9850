"""A group of one process."""

from __future__ import annotations

import pytest
import torch

from edgessd.train.distributed import DistributedGroup, join_group


def test_without_torchrun_a_process_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_group("cpu") as group:
        assert group == DistributedGroup(rank=0, world_size=1, local_rank=0)
        assert group.is_leader
        group.barrier()
        model = torch.nn.Linear(2, 2)
        assert group.wrap(model, torch.device("cpu")) is model
        with group.without_averaging(model, active=True):
            model(torch.ones(1, 2)).sum().backward()
        assert model.weight.grad is not None
        assert group.from_leader("seed") == "seed"
        assert (group.any(True), group.any(False)) == (True, False)


def test_one_process_leads() -> None:
    assert not DistributedGroup(rank=1, world_size=2, local_rank=1).is_leader
