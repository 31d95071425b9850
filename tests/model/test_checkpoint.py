"""Checkpoints are equal after saving, and other files are refused with a way out."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from edgessd.core.errors import CheckpointError
from edgessd.model.checkpoint import (
    Checkpoint,
    checkpoint_of,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from edgessd.model.new_detector import new_detector
from edgessd.model.ssdlite import build_model


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    config, contract = new_detector(("a", "b"), width=0.35, input_size=(64, 64))
    model = build_model(config, contract).to(memory_format=torch.channels_last)
    return checkpoint_of(model, {"data": "none at all"})


def rewritten(path: Path, **changes: object) -> Path:
    content = torch.load(path, weights_only=True)
    torch.save(
        {key: value for key, value in (content | changes).items() if value is not None}, path
    )
    return path


def test_half_size_file_reads_back_as_float32(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "whole.pt", checkpoint)
    save_checkpoint(tmp_path / "half.pt", checkpoint, half=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("half.pt", "whole.pt")]
    assert sizes[0] < 0.65 * sizes[1]
    again = load_checkpoint(tmp_path / "half.pt")
    for name, tensor in checkpoint.state.items():
        assert again.state[name].dtype == tensor.dtype
        # float16 has 11 significant bits.
        torch.testing.assert_close(again.state[name], tensor, rtol=2**-11, atol=1e-7)


def test_round_trip(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "best.pt"
    save_checkpoint(path, checkpoint)
    again = load_checkpoint(path)
    assert (again.config, again.contract) == (checkpoint.config, checkpoint.contract)
    assert again.provenance["data"] == "none at all"
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(
            load_model(again)(image), load_model(checkpoint)(image), strict=True
        ):
            torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    assert [item.name for item in path.parent.iterdir()] == ["best.pt"]


def test_a_snapshot_does_not_follow_the_model(tmp_path: Path) -> None:
    config, contract = new_detector(("a",), width=0.35, input_size=(64, 64))
    model = build_model(config, contract)
    snapshot = checkpoint_of(model)
    before = snapshot.state["backbone.stem.conv.weight"].clone()
    with torch.no_grad():
        model.backbone.stem.conv.weight.add_(1)
    assert torch.equal(snapshot.state["backbone.stem.conv.weight"], before)


def test_file_is_no_larger_than_its_weights(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Float16 tensors are stored as float32, and views without their whole storage."""
    large = torch.zeros(1000, 1000)
    state = dict(checkpoint.state)
    name = "heads.0.box.pointwise.bias"
    state[name] = large[0, : state[name].numel()].half()
    path = tmp_path / "model.pt"
    save_checkpoint(path, dataclasses.replace(checkpoint, state=state))
    values = sum(tensor.numel() for tensor in checkpoint.state.values())
    assert path.stat().st_size < 4 * values * 1.05 + 200_000
    assert load_checkpoint(path).state[name].dtype == torch.float32


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(5000)), "truncated"),
        (lambda path: path.write_text("epoch,loss\n"), "isn't a checkpoint"),
        (lambda path: path.write_bytes(b""), "isn't a checkpoint"),
        (lambda path: torch.save(torch.nn.Linear(2, 2), path), "can't be read safely"),
        (lambda path: torch.save({"model": 1, "ema": None}, path), "dictionary with model, ema"),
        (lambda path: torch.save([1, 2], path), "a saved list"),
        (
            lambda path: torch.save(
                OrderedDict({"classification_headers.0.0.weight": torch.zeros(1)}), path
            ),
            "edgessd import pytorch-ssd",
        ),
        (
            lambda path: torch.save({"features.0.0.weight": torch.zeros(1)}, path),
            "edgessd train --weights",
        ),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: (path.mkdir(), (path / "graph.json").touch()), "edgessd import folded"),
        (lambda path: None, "There is no file"),
    ],
)
def test_other_files_are_refused(
    write: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.pth"
    write(path)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999])
def test_truncated_checkpoint_is_refused(
    kept: float, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    save_checkpoint(path, checkpoint)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(path)


def test_contradictory_contents_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    state = dict(checkpoint.state)
    del state["backbone.stem.conv.weight"]
    wider = dict(checkpoint.state) | {"heads.0.box.pointwise.bias": torch.zeros(5)}
    config = msgspec.json.encode(checkpoint.config).decode()
    for changes, message in (
        ({"version": 99}, "version 99"),
        ({"state": state}, "1 missing"),
        ({"state": wider}, "another shape"),
        ({"contract": None}, "no contract"),
        ({"config": config.replace('"width"', '"girth"')}, "girth"),
        ({"config": config.replace("0.35", "9.9")}, "out of range"),
    ):
        save_checkpoint(path, checkpoint)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(rewritten(path, **changes))
