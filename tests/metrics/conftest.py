"""Ground truth written as rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgessd.metrics.ground_truth import LabeledImage


def make_truth(*rows, ignore: tuple[int, ...] = ()) -> LabeledImage:
    """Make ground truth of rows (x1, y1, x2, y2, class)."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    flags = np.zeros(len(table), bool)
    flags[list(ignore)] = True
    return LabeledImage(
        path=Path("image.png"),
        width=640,
        height=480,
        boxes=table[:, :4],
        class_ids=table[:, 4].astype(np.int64),
        ignore=flags,
    )


@pytest.fixture
def truth_of() -> Callable[..., LabeledImage]:
    return make_truth
