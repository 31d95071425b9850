"""`edgessd train`: its JSON record, the precedence of settings, refusals and signals."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from block_scenes import write_coco
from command_line import TWO_PROCESSES, edgessd, start_edgessd

from edgessd.model.checkpoint import load_checkpoint
from edgessd.train.config import load_config

pytestmark = pytest.mark.slow

TINY = ("--weights", "none", "--width", "0.1", "--input-size", "64", "--batch", "4")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 12 training and 4 validation scenes of 96x96 pixels."""
    return write_coco(
        tmp_path_factory.mktemp("blocks"), {"train": range(12), "val": range(100, 104)}
    )


def test_json_has_the_checkpoint_and_its_accuracy(blocks: Path, tmp_path: Path):
    run = tmp_path / "run"
    options = ("--epochs", 1, "--threads", 1, "--seed", 3, "--json")
    ended = edgessd("train", "--data", blocks, "--out", run, *TINY, *options)
    record = json.loads(ended.out)
    assert Path(record["checkpoint"]) == run / "best.pt"
    assert load_checkpoint(run / "best.pt").contract.labels == ("square", "bar")
    assert 0 <= record["best_AP"] <= 1
    assert record["images_per_second"] > 0
    assert (record["epochs"], record["steps"], record["finished"]) == (1, 3, True)
    assert "4 images of val pick the best checkpoint" in ended.err
    config = load_config(run / "config.toml")
    assert (config.machine.seed, config.model.width) == (3, 0.1)
    assert config.model.input_size == (64, 64)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_preset(
    blocks: Path, tmp_path: Path
):
    file = tmp_path / "settings.toml"
    file.write_text(
        "[optimize]\nepochs = 7\nlr = 0.5\nweight_decay = 0.25\n[machine]\nsheet_every = 0\n"
    )
    edgessd(
        *("train", "--data", blocks, "--out", tmp_path / "run", *TINY, "--config", file),
        *("--epochs", 1, "--lr", 0.001, "--threads", 1),
    )
    optimize = load_config(tmp_path / "run" / "config.toml").optimize
    assert (optimize.epochs, optimize.lr, optimize.weight_decay) == (1, 0.001, 0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "RUN"], "No dataset is named"),
        (["--out", "RUN", "--data", "NOWHERE"], "NOWHERE"),
        (["--out", "RUN", "--data", "DATA", "--preset", "huge"], "no such preset"),
        (["--out", "RUN", "--data", "DATA", "--weights", "gone.pt"], "no weights at gone.pt"),
        (["--out", "RUN", "--data", "DATA", "--val-split", "train"], "trained on"),
        (["--out", "RUN", "--resume"], "config.toml"),
    ],
)
def test_refusals_are_one_paragraph(
    blocks: Path, tmp_path: Path, arguments: list[str], message: str
):
    places = {"RUN": tmp_path / "run", "DATA": blocks, "NOWHERE": tmp_path / "NOWHERE"}
    ended = edgessd("train", *[places.get(word, word) for word in arguments], code=1)
    assert message in ended.err.replace("\n", " ")
    assert ended.out == ""


def test_a_resumed_training_takes_no_new_settings(blocks: Path, tmp_path: Path):
    run = tmp_path / "run"
    edgessd("train", "--data", blocks, "--out", run, *TINY, "--epochs", 1, "--threads", 1)
    ended = edgessd("train", "--out", run, "--resume", "--lr", 1, code=1)
    assert "keeps its settings" in ended.err
    again = edgessd("train", "--out", run, "--resume", "--threads", 1, "--json")
    assert json.loads(again.out)["steps"] == 3


def test_an_invalid_size_is_wrong_usage(blocks: Path, tmp_path: Path):
    edgessd("train", "--data", blocks, "--out", tmp_path / "run", "--input-size", "big", code=2)


@pytest.mark.process
def test_a_training_can_be_resumed_after_ctrl_c(blocks: Path, tmp_path: Path):
    run = tmp_path / "run"
    words = ("--data", blocks, "--out", run, *TINY, "--epochs", 100000, "--threads", 1)
    process = start_edgessd("train", *words)
    deadline = time.monotonic() + 120
    while not (run / "metrics.csv").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert f"edgessd train --out {run} --resume" in err
    assert "Traceback" not in err
    load_checkpoint(run / "last.pt")


@pytest.mark.process
def test_two_processes_train_one_model(blocks: Path, tmp_path: Path):
    """torchrun on the CPU: both processes share the epoch, and one of them writes files."""
    run = tmp_path / "run"
    words = ("--batch", 2, "--epochs", 2, "--threads", 1, "--device", "cpu", "--json")
    record = edgessd(
        *("train", "--data", blocks, "--out", run, *TINY, *words),
        own_process=True,
        launcher=TWO_PROCESSES,
    ).json
    # 12 images, 2 processes of 2 images a step: 3 steps an epoch.
    assert (record["epochs"], record["steps"]) == (2, 6)
    state = torch.load(run / "state.pt", weights_only=True)
    assert state["position"]["images"] == 24
