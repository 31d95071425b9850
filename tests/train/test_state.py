"""A training is resumed only from an intact state of the same network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from block_scenes import tiny_config

from edgessd.core.errors import CheckpointError
from edgessd.train.run import train


def test_resuming_nothing_is_refused(blocks: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match="no training to resume"):
        train(tiny_config(blocks), tmp_path / "run", resume=True)


def test_resuming_with_another_network_is_refused(straight: Path, blocks: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    config = tiny_config(blocks, model={"width": 0.2})
    with pytest.raises(CheckpointError, match="doesn't fit the settings"):
        train(config, tmp_path / "run", resume=True)


def test_a_damaged_state_is_refused(straight: Path, blocks: Path, tmp_path: Path):
    shutil.copytree(straight, tmp_path / "run")
    state = tmp_path / "run" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="can't be read"):
        train(tiny_config(blocks), tmp_path / "run", resume=True)
