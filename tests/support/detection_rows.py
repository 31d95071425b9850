"""Detections written as rows."""

from __future__ import annotations

import numpy as np

from edgessd.core.detections import Detections


def found(*rows: object, labels: tuple[str, ...] = ("a", "b")) -> Detections:
    """Make detections of rows (x1, y1, x2, y2, class, score), best first."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(
        boxes=table[:, :4],
        scores=table[:, 5],
        class_ids=table[:, 4].astype(np.int64),
        labels=labels,
    )
