"""The summary of a finished training."""

from __future__ import annotations

from pathlib import Path


def test_the_summary_has_data_time_and_accuracy(straight: Path):
    lines = dict(
        line.split(maxsplit=1) for line in (straight / "summary.txt").read_text().splitlines()
    )
    assert lines["training"] == "finished"
    assert "2 labels: square, bar" in lines["dataset"]
    assert lines["images"] == "12 training images (train); 4 images of val pick the best checkpoint"
    assert lines["epochs"] == "3 (9 steps, 36 images)"
    assert lines["checkpoint"] == "best.pt"
