"""The reach of anchors, by the size of the boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.core.anchors import AnchorSpec, anchor_boxes, ssd_levels
from edgessd.core.boxes import cxcywh_to_xyxy, iou_matrix
from edgessd.core.contract import Preprocess
from edgessd.core.errors import ConfigError
from edgessd.data.dataset import load_dataset
from edgessd.data.reach import anchor_reach, best_iou, boxes_at_input

PREPROCESS = Preprocess(width=300, height=200)
ANCHORS = AnchorSpec(
    levels=ssd_levels(
        grids=[(13, 19), (7, 10), (1, 1)],
        scales=(0.1, 0.3, 0.7, 1.0),
        ratios=[(2.0,), (2.0, 3.0), (2.0,)],
        skip_extra_on_first=True,
    )
)


def test_the_nearest_anchor_is_the_best() -> None:
    """The nearest anchor of each shape has the same IoU as the best of all anchors."""
    rng = np.random.default_rng(3)
    centers, sizes = rng.uniform(0, 1, (500, 2)), rng.uniform(0.01, 1.2, (500, 2))
    boxes = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1).astype(np.float32)
    everything = iou_matrix(boxes, cxcywh_to_xyxy(anchor_boxes(ANCHORS))).max(axis=1)
    np.testing.assert_allclose(best_iou(boxes, ANCHORS), everything, atol=1e-5)


def test_reach_by_size() -> None:
    # Sides in pixels of the 300x200 input: 20, 60 and 140; the last matches an anchor exactly.
    center = np.array([0.5, 0.5])
    sides = np.array([[20 / 300, 20 / 200], [60 / 300, 60 / 200], [0.7, 0.7]])
    boxes = np.concatenate([center - sides / 2, center + sides / 2], axis=1).astype(np.float32)
    small, medium, large = anchor_reach(boxes, ANCHORS, PREPROCESS)
    assert (small.boxes, medium.boxes, large.boxes) == (1, 1, 1)
    assert large.reached == 1
    assert large.mean_iou == pytest.approx(1)


def test_letterboxed_boxes_move_with_their_image(yolo: Path) -> None:
    images = load_dataset(yolo).split("train")
    square = Preprocess(width=320, height=320, resize="letterbox")
    # A 64x48 image fills 320x240, 40 rows below the top.
    np.testing.assert_allclose(
        boxes_at_input(images, square)[0] * 320,
        [24 * 5, 40 + 12 * 5, 40 * 5, 40 + 36 * 5],
        rtol=1e-5,
    )


def test_reach_refuses_clipped_anchors() -> None:
    with pytest.raises(ConfigError, match="clipped anchors"):
        best_iou(np.zeros((1, 4), np.float32), AnchorSpec(levels=ANCHORS.levels, clip=True))
