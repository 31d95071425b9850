"""Whole trainings of seconds: they learn, resume exactly, and refuse impossible settings."""

from __future__ import annotations

import csv
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from block_scenes import LABELS, draw_scene, tiny_config, write_coco

from edgessd.core.errors import DataError, TrainingError
from edgessd.model.checkpoint import load_checkpoint
from edgessd.model.predictor import CheckpointPredictor
from edgessd.train.config import load_config
from edgessd.train.metrics_log import Row
from edgessd.train.reporter import Reporter
from edgessd.train.run import train
from edgessd.train.state import Position

pytestmark = pytest.mark.slow


class Interrupter(Reporter):
    """Call a function when the training reaches a step."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        super().__init__(None)
        self.step, self.action = step, action

    def step_done(self, position: Position, row: Row, progress: float) -> None:
        if position.step == self.step:
            self.action()


class PowerCut(BaseException):
    """An end without any handling, as after SIGKILL."""


def cut_power() -> None:
    raise PowerCut


def request_stop() -> None:
    signal.raise_signal(signal.SIGTERM)


def same_weights(first: Path, second: Path) -> bool:
    one, other = load_checkpoint(first).state, load_checkpoint(second).state
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_learns(tmp_path: Path):
    """Two shapes and a network of 100,000 weights, whose untrained AP50 is below 0.01."""
    data = write_coco(tmp_path / "data", {"train": range(48), "val": range(100, 108)})
    config = tiny_config(
        data,
        augment={"crop": 0.0, "zoom_out": 0.0, "photometric": 0.0},
        optimize={"epochs": 10, "lr": 1e-2, "ema_decay": 0.9},
        machine={"eval_every": 10, "sheet_every": 10},
    )
    result = train(config, tmp_path / "run")
    assert result.metrics is not None
    assert result.metrics.AP50 > 0.3, result.metrics
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])
    predict = CheckpointPredictor(load_checkpoint(result.checkpoint), threads=1)
    found = [predict(draw_scene(number)[0]) for number in range(100, 108)]
    assert found[0].labels == LABELS
    assert {class_id for item in found for class_id in item.class_ids.tolist()} == {0, 1}
    assert (tmp_path / "run" / "sheets" / "epoch-010.png").read_bytes().startswith(b"\x89PNG")


def test_the_run_folder_is_complete(straight: Path, blocks: Path):
    names = {path.name for path in straight.iterdir()}
    assert names >= {
        *("best.pt", "last.pt", "state.pt", "config.toml", "metrics.csv"),
        *("curves.png", "summary.txt", "tensorboard"),
    }
    rows = list(csv.DictReader((straight / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(0 <= float(row["AP"]) <= 1 for row in rows)
    assert load_config(straight / "config.toml") == tiny_config(blocks)
    assert load_checkpoint(straight / "best.pt").provenance["weights"] == "none"
    assert "finished" in (straight / "summary.txt").read_text()
    assert (straight / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_training_can_be_repeated(straight: Path, blocks: Path, tmp_path: Path):
    train(tiny_config(blocks), tmp_path / "run")
    assert same_weights(straight / "last.pt", tmp_path / "run" / "last.pt")


@pytest.mark.parametrize("step", [4, 6], ids=["in an epoch", "at its end"])
def test_after_a_power_cut_it_resumes_exactly(
    straight: Path, blocks: Path, tmp_path: Path, step: int
):
    folder = tmp_path / "run"
    with pytest.raises(PowerCut):
        train(tiny_config(blocks), folder, reporter=Interrupter(step, cut_power))
    result = train(load_config(folder / "config.toml"), folder, resume=True)
    assert result.position.step == 9
    assert same_weights(straight / "last.pt", folder / "last.pt")
    assert same_weights(straight / "best.pt", folder / "best.pt")


@pytest.mark.parametrize("step", [5, 6], ids=["in an epoch", "at its end"])
def test_after_sigterm_it_resumes_exactly(straight: Path, blocks: Path, tmp_path: Path, step: int):
    folder = tmp_path / "run"
    stopped = train(tiny_config(blocks), folder, reporter=Interrupter(step, request_stop))
    assert not stopped.finished
    assert stopped.position.step == step
    assert stopped.checkpoint == folder / "last.pt"
    load_checkpoint(folder / "last.pt")
    result = train(load_config(folder / "config.toml"), folder, resume=True)
    assert result.finished
    assert same_weights(straight / "last.pt", folder / "last.pt")
    expected = list(csv.DictReader((straight / "metrics.csv").open()))
    found = list(csv.DictReader((folder / "metrics.csv").open()))
    for name in ("epoch", "step", "lr", "loss", "AP", "grad_norm"):
        assert [row[name] for row in found] == [row[name] for row in expected], name


def test_accumulated_batches_resume_at_steps(blocks: Path, tmp_path: Path):
    config = tiny_config(blocks, optimize={"epochs": 2, "batch": 4, "accumulate": 2})
    assert train(config, tmp_path / "whole").position.step == 4  # 3 batches: steps of 2 and 1
    train(config, tmp_path / "cut", reporter=Interrupter(1, request_stop))
    train(config, tmp_path / "cut", resume=True)
    assert same_weights(tmp_path / "whole" / "last.pt", tmp_path / "cut" / "last.pt")


@pytest.mark.realtime
def test_a_time_budget_ends_the_schedule(blocks: Path, tmp_path: Path):
    config = tiny_config(blocks, optimize={"epochs": 100_000, "time_budget": 0.03})
    result = train(config, tmp_path / "run")
    assert result.finished
    assert 1.8 <= result.position.seconds < 30
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert float(rows[-1]["lr"]) < 0.3 * config.optimize.lr


def test_a_test_split_is_evaluated_once_at_the_end(tmp_path: Path):
    data = write_coco(
        tmp_path / "data", {"train": range(8), "val": range(8, 12), "test": range(20, 24)}
    )
    splits = {"train_splits": ["train", "val"], "val_split": "test"}
    config = tiny_config(data, data=splits, optimize={"epochs": 2})
    result = train(config, tmp_path / "run")
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [bool(row["AP"]) for row in rows] == [False, True]
    assert same_weights(tmp_path / "run" / "best.pt", tmp_path / "run" / "last.pt")
    assert result.position.best_AP == result.metrics.AP


def test_a_loss_that_is_not_a_number_ends_the_training(blocks: Path, tmp_path: Path):
    config = tiny_config(blocks, optimize={"lr": 1e30, "clip_norm": 0.0, "warmup_steps": 0})
    with pytest.raises(TrainingError, match=r"lower learning rate \(--lr"):
        train(config, tmp_path / "run")


def test_an_empty_dataset_is_refused_before_anything_is_written(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        train(tiny_config(tmp_path / "empty"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_broken_image_is_named_and_left_out(tmp_path: Path):
    data = write_coco(tmp_path / "data", {"train": range(9), "val": range(20, 22)})
    victim = data / "images" / "0003.png"
    victim.write_bytes(victim.read_bytes()[:9000])
    result = train(tiny_config(data, optimize={"epochs": 1}), tmp_path / "run")
    assert len(result.broken_images) == 1
    assert "0003.png" in result.broken_images[0]
    assert "0003.png" in (tmp_path / "run" / "summary.txt").read_text()


def test_an_image_that_breaks_later_is_replaced_and_named(tmp_path: Path):
    data = write_coco(tmp_path / "data", {"train": range(9)})
    victim = data / "images" / "0003.png"

    class Spoiler(Reporter):
        def note(self, sentence: str) -> None:
            victim.write_bytes(b"")

    config = tiny_config(
        data,
        data={"cache_mb": 0, "val_split": "none"},
        optimize={"epochs": 2, "batch": 9},
    )
    result = train(config, tmp_path / "run", reporter=Spoiler(None))
    assert result.position.images == 18
    assert [("0003.png" in problem) for problem in result.broken_images] == [True]
