"""Calibration images are training images, never images of the evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgessd.build.calibration_images import (
    images_in,
    images_of_run,
)
from edgessd.core.errors import CalibrationError

pytestmark = pytest.mark.slow


def test_a_dataset_gives_the_images_it_trains_on(shared: Path) -> None:
    """A detector that was calibrated on its test images would be flattered by them."""
    chosen = images_in(shared / "data" / "bccd", limit=1000)
    names = (shared / "data" / "bccd" / "ImageSets" / "Main" / "train.txt").read_text().split()
    assert {path.stem for path in chosen.paths} == set(names)
    assert chosen.source.endswith("bccd, train")


@pytest.mark.parametrize("splits", [["train", "val"], ["trainval"]])
def test_a_run_is_calibrated_with_its_own_training_images(
    shared: Path, tmp_path: Path, splits: list[str]
) -> None:
    run = tmp_path / "runs" / "cells"
    run.mkdir(parents=True)
    dataset = shared / "data" / "bccd"
    (run / "config.toml").write_text(
        f'[data]\npath = "{dataset}"\ntrain_splits = {json.dumps(splits)}\n'
    )
    chosen = images_of_run(run / "best.pt", limit=1000)
    assert len(chosen.paths) == 205 + 87
    assert chosen.dataset is not None
    assert chosen.dataset.evaluation.keys() == {"test"}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "The training images of .* aren't known"),
        ('[data]\npath = "moved/away"\n', "moved/away"),
        ("[data\n", "can't be read"),
        ("[model]\nwidth = 1.0\n", "isn't there"),
    ],
)
def test_a_run_without_its_dataset_asks_for_a_folder(
    tmp_path: Path, config: str | None, reason: str
) -> None:
    if config is not None:
        (tmp_path / "config.toml").write_text(config)
    with pytest.raises(CalibrationError, match=rf"{reason}.*--calibration DIR"):
        images_of_run(tmp_path / "best.pt", limit=10)
