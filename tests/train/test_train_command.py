"""`edgessd train` as people and scripts call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgessd.model.checkpoint import load_checkpoint
from edgessd.train.config import load_config

TINY = ("--weights", "none", "--width", "0.1", "--input-size", "64", "--batch", "4")
Command = Callable[..., object]


def test_json_names_the_checkpoint_and_what_it_is_worth(
    edgessd_command, blocks: Path, tmp_path: Path
):
    run = tmp_path / "run"
    options = ("--epochs", 1, "--threads", 1, "--seed", 3, "--json")
    ended = edgessd_command("train", "--data", blocks, "--out", run, *TINY, *options)
    assert ended.code == 0, ended.err
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
    edgessd_command, blocks: Path, tmp_path: Path
):
    file = tmp_path / "settings.toml"
    file.write_text(
        "[optimize]\nepochs = 7\nlr = 0.5\nweight_decay = 0.25\n[machine]\nsheet_every = 0\n"
    )
    ended = edgessd_command(
        *("train", "--data", blocks, "--out", tmp_path / "run", *TINY, "--config", file),
        *("--epochs", 1, "--lr", 0.001, "--threads", 1),
    )
    assert ended.code == 0, ended.err
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
    edgessd_command, blocks: Path, tmp_path: Path, arguments: list[str], message: str
):
    places = {"RUN": tmp_path / "run", "DATA": blocks, "NOWHERE": tmp_path / "NOWHERE"}
    ended = edgessd_command("train", *[places.get(word, word) for word in arguments])
    assert ended.code == 1
    assert message in ended.err.replace("\n", " ")
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_a_resumed_training_takes_no_new_settings(edgessd_command, blocks: Path, tmp_path: Path):
    run = tmp_path / "run"
    edgessd_command("train", "--data", blocks, "--out", run, *TINY, "--epochs", 1, "--threads", 1)
    ended = edgessd_command("train", "--out", run, "--resume", "--lr", 1)
    assert ended.code == 1
    assert "keeps its settings" in ended.err
    again = edgessd_command("train", "--out", run, "--resume", "--threads", 1, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["steps"] == 3


def test_a_size_that_is_none_is_wrong_usage(edgessd_command, blocks: Path, tmp_path: Path):
    ended = edgessd_command(
        "train", "--data", blocks, "--out", tmp_path / "run", "--input-size", "big"
    )
    assert ended.code == 2


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@pytest.mark.slow
def test_ctrl_c_leaves_a_training_to_go_on_with(blocks: Path, tmp_path: Path):
    run = tmp_path / "run"
    arguments = [sys.executable, "-m", "edgessd", "train", "--data", str(blocks), "--out", str(run)]
    arguments += [*TINY, "--epochs", "100000", "--threads", "1"]
    process = subprocess.Popen(
        arguments, env=_environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
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


@pytest.mark.slow
def test_two_processes_train_one_model(blocks: Path, tmp_path: Path):
    """torchrun on the CPU: both processes share the epoch, one of them writes."""
    run = tmp_path / "run"
    arguments = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    arguments += ["--nproc-per-node", "2", "-m", "edgessd", "train", "--data", str(blocks)]
    arguments += ["--out", str(run), *TINY, "--batch", "2", "--epochs", "2", "--threads", "1"]
    arguments += ["--device", "cpu", "--json"]
    ended = subprocess.run(
        arguments, env=_environment(), capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stderr
    record = json.loads(ended.stdout)
    # 12 images, 2 processes of 2 images a step: 3 steps an epoch.
    assert (record["epochs"], record["steps"]) == (2, 6)
    state = torch.load(run / "state.pt", weights_only=True)
    assert state["position"]["images"] == 24
