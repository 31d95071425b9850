"""Drawing: inside the image at every size, on a copy, strongest on top."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.pipeline.annotate import annotate, class_color


def one(box: tuple[float, float, float, float], score: float = 0.9) -> Detections:
    return Detections(
        boxes=np.array([box], np.float32),
        scores=np.array([score], np.float32),
        class_ids=np.array([0]),
        labels=("barcode",),
    )


@pytest.mark.parametrize("size", [(1, 1), (40, 30), (640, 480), (3840, 2160)])
def test_every_image_size_can_be_drawn_on(size: tuple[int, int]) -> None:
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    canvas = annotate(image, one((0, 0, size[0], size[1])))
    assert canvas.shape == image.shape
    assert (canvas != image).any()
    assert (image == 128).all()


def test_box_edge_has_the_class_color() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    canvas = annotate(image, one((50, 60, 250, 180)))
    # Anti-aliasing may mix a little of the dark outline in.
    np.testing.assert_allclose(canvas[180, 150].astype(int), class_color(0), atol=25)
    assert tuple(canvas[120, 150]) == (0, 0, 0)


def test_nothing_found_leaves_the_picture_alone() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert (annotate(image, Detections.empty(("a",))) == image).all()


def test_neighbouring_classes_differ_in_color() -> None:
    colors = [np.array(class_color(i), int) for i in range(20)]
    distances = [np.abs(a - b).sum() for a, b in pairwise(colors)]
    assert min(distances) > 100
