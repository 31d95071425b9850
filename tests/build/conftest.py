"""A detector that is sure of what it sees, without a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def confident_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained detector with large score weights: it scores many anchors of any photo high."""
    from edgessd.model.checkpoint import load_checkpoint, save_checkpoint

    checkpoint = load_checkpoint(tiny_checkpoint)
    heads = [
        name
        for name in checkpoint.state
        if ".score." in name and "pointwise" in name and name.endswith("weight")
    ]
    assert heads
    state = {
        name: value * 60 if name in heads else value for name, value in checkpoint.state.items()
    }
    path = tmp_path_factory.mktemp("confident") / "confident.pt"
    save_checkpoint(path, replace(checkpoint, state=state))
    return path
