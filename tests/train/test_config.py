"""Settings of a training: files, layers and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.core.errors import ConfigError
from edgessd.train.config import (
    TrainConfig,
    load_config,
    merge,
    preset_names,
    read_preset,
    read_settings,
    save_config,
)


def test_settings_are_equal_after_saving(tmp_path: Path):
    config = merge({"model": {"width": 0.5, "scales": [0.1, 0.2]}, "data": {"path": "cells"}})
    save_config(tmp_path / "config.toml", config)
    assert load_config(tmp_path / "config.toml") == config
    assert "ema_decay" in (tmp_path / "config.toml").read_text()


def test_later_settings_win():
    config = merge({"optimize": {"lr": 0.1, "batch": 8}}, {"optimize": {"lr": 0.2}})
    assert (config.optimize.lr, config.optimize.batch) == (0.2, 8)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid(name: str):
    assert isinstance(merge(read_preset(name)), TrainConfig)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"optimize": {"learning_rate": 1}}, "learning_rate"),
        ({"optimizer": {"lr": 1}}, "optimizer"),
        ({"lr": 1}, "outside of all sections"),
        ({"optimize": {"lr": -1.0}}, "positive"),
        ({"optimize": {"batch": 0}}, "batch"),
        ({"optimize": {"ema_decay": 1.0}}, "ema_decay"),
        ({"machine": {"precision": "int8"}}, "precision"),
    ],
)
def test_wrong_settings_are_refused_by_name(tables: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        merge(tables)


def test_broken_and_missing_settings_files_are_refused(tmp_path: Path):
    (tmp_path / "broken.toml").write_text("[optimize\nlr = 1")
    with pytest.raises(ConfigError, match="isn't valid TOML"):
        read_settings(tmp_path / "broken.toml")
    with pytest.raises(ConfigError, match="missing"):
        read_settings(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="no such preset"):
        read_preset("huge-dataset")
