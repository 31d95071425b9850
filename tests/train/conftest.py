"""Fixtures of the trainings: a small dataset, and one thread for torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from block_scenes import tiny_config, write_coco

from edgessd.train.run import train


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 12 training and 4 validation scenes of 96x96 pixels."""
    return write_coco(
        tmp_path_factory.mktemp("blocks"), {"train": range(12), "val": range(100, 104)}
    )


@pytest.fixture(scope="session")
def straight(blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of three epochs without interruption (12 images in batches of 4: 9 steps)."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    assert train(tiny_config(blocks), folder).finished
    return folder
