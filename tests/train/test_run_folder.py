"""A run folder holds one training, and one process writes to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from block_scenes import tiny_config

from edgessd.core.errors import ConfigError
from edgessd.train.run import train
from edgessd.train.run_folder import check_folder, lock_folder


def test_a_run_folder_is_not_overwritten(straight: Path, blocks: Path):
    before = (straight / "last.pt").read_bytes()
    with pytest.raises(ConfigError, match="already holds a training"):
        train(tiny_config(blocks), straight)
    assert (straight / "last.pt").read_bytes() == before


def test_two_trainings_do_not_share_a_folder(blocks: Path, tmp_path: Path):
    folder = tmp_path / "run"
    with lock_folder(folder), pytest.raises(ConfigError, match="Another process is training"):
        train(tiny_config(blocks), folder)
    assert not (folder / "config.toml").exists()


def test_a_file_is_refused(tmp_path: Path):
    (tmp_path / "run").write_text("no folder")
    with pytest.raises(ConfigError, match="a file has its name"):
        check_folder(tmp_path / "run", resume=False)
