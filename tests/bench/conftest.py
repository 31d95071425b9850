"""Images of colored squares, and a detector that finds them by their color."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.metrics.ground_truth import LabeledImage

LABELS = ("red", "green")
_CHANNEL = (2, 1)  # of BGR


def paint(path: Path, *squares: tuple[int, int, int, int, int]) -> LabeledImage:
    """Write a PNG of 160x120 with squares (x1, y1, x2, y2, class), and give its ground truth."""
    image = np.zeros((120, 160, 3), np.uint8)
    for x1, y1, x2, y2, class_id in squares:
        image[y1:y2, x1:x2, _CHANNEL[class_id]] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    table = np.array(squares, np.float32).reshape(-1, 5)
    return LabeledImage(
        path=path,
        width=160,
        height=120,
        boxes=table[:, :4],
        class_ids=table[:, 4].astype(np.int64),
        ignore=np.zeros(len(table), bool),
    )


def find_squares(
    image: np.ndarray, *, grow: int = 0, labels: tuple[str, ...] = LABELS
) -> Detections:
    """Find every colored square, `grow` pixels too wide; larger ones have higher scores."""
    rows = []
    for class_id, channel in enumerate(_CHANNEL):
        mask = (image[..., channel] > 128).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        for x, y, width, height, area in stats[1:]:
            rows.append((x, y, x + width + grow, y + height, class_id, 0.4 + area / 40_000))
    table = np.array(sorted(rows, key=lambda row: -row[5]), np.float32).reshape(-1, 6)
    return Detections(
        boxes=table[:, :4],
        scores=table[:, 5],
        class_ids=table[:, 4].astype(np.int64),
        labels=labels,
    )


@pytest.fixture(scope="session")
def squares() -> SimpleNamespace:
    """`LABELS`, `paint` and `find_squares`."""
    return SimpleNamespace(LABELS=LABELS, paint=paint, find_squares=find_squares)
