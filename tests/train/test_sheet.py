"""Sample sheets: photos with ground truth and detections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.core.drawing import class_color
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.train.sheet import draw_tile

pytestmark = pytest.mark.slow


def _tile(score: float) -> np.ndarray:
    box = np.array([[20, 30, 60, 80]], np.float32)
    truth = LabeledImage(
        path=Path("cat.png"),
        width=180,
        height=90,
        boxes=box + np.float32(60),
        class_ids=np.zeros(1, np.int64),
        ignore=np.zeros(1, bool),
    )
    found = Detections(
        boxes=box,
        scores=np.array([score], np.float32),
        class_ids=np.zeros(1, np.int64),
        labels=("cat",),
    )
    return draw_tile(np.zeros((90, 180, 3), np.uint8), truth, found)


def _has(tile: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((tile == color).all(axis=-1).any())


def test_a_tile_has_one_size_and_shows_truth_and_detections() -> None:
    tile = _tile(score=0.9)
    assert tile.shape[1] == 360
    assert tile.shape == _tile(score=0.1).shape
    assert _has(tile, (255, 255, 255))
    assert _has(tile, class_color(0))


def test_a_detection_with_a_low_score_is_not_drawn() -> None:
    assert not _has(_tile(score=0.1), class_color(0))
