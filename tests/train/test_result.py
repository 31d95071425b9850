"""The throughput of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.train.result import TrainResult
from edgessd.train.state import Position


def test_throughput_is_images_over_training_time():
    position = Position(images=100, seconds=9.0, training_seconds=4.0)
    result = TrainResult(
        folder=Path("run"),
        checkpoint=Path("run") / "best.pt",
        finished=True,
        position=position,
        metrics=None,
        broken_images=(),
    )
    assert result.images_per_second == pytest.approx(25)
