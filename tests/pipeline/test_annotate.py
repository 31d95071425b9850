"""Drawing on a copy of the image, at every size, with the highest score on top."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.core.drawing import class_color
from edgessd.pipeline.annotate import annotate
from edgessd.pipeline.events import RegionState


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
    # Anti-aliasing may mix in a little of the dark outline.
    np.testing.assert_allclose(canvas[180, 150].astype(int), class_color(0), atol=25)
    assert tuple(canvas[120, 150]) == (0, 0, 0)


def test_an_image_without_detections_stays_unchanged() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert (annotate(image, Detections.empty(("a",))) == image).all()


def region(kind: str, points: tuple[tuple[float, float], ...], **counts: int) -> RegionState:
    inside, entered = ({"a": counts.get(key, 0)} for key in ("inside", "entered"))
    return RegionState(
        name="door",
        kind="line" if kind == "line" else "zone",
        points=points,
        inside=inside,
        entered=entered,
        left={},
    )


def test_the_arrow_of_a_line_points_inwards() -> None:
    image = np.zeros((400, 600, 3), np.uint8)
    nothing = Detections.empty(("a",))
    # The line points up the picture, so its inward side is on the right.
    canvas = annotate(image, nothing, [region("line", ((300, 400), (300, 0)))])
    assert canvas[200, 300].any()
    assert canvas[200, 310].any()
    assert not canvas[200, 290].any()
    turned = annotate(image, nothing, [region("line", ((300, 0), (300, 400)))])
    assert turned[200, 290].any()
    assert not turned[200, 310].any()


def test_a_zone_is_filled_while_it_is_occupied() -> None:
    image = np.zeros((400, 600, 3), np.uint8)
    corners = ((100.0, 100.0), (500.0, 100.0), (500.0, 300.0), (100.0, 300.0))
    nothing = Detections.empty(("a",))
    empty = annotate(image, nothing, [region("zone", corners, entered=3)])
    full = annotate(image, nothing, [region("zone", corners, entered=3, inside=1)])
    assert empty[300, 250].any()
    assert not empty[250, 250].any()
    assert full[250, 250].any()
    assert not full[350, 250].any()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (3840, 2160)])
def test_regions_can_be_drawn_at_every_image_size(size: tuple[int, int]) -> None:
    width, height = size
    image = np.full((height, width, 3), 128, np.uint8)
    points = ((0.0, 0.0), (float(width), 0.0), (0.0, float(height)))
    shapes = [region("zone", points, inside=1), region("line", points[:2])]
    assert annotate(image, Detections.empty(("a",)), shapes).shape == image.shape
    assert (image == 128).all()


def test_only_tracked_detections_get_a_number() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    plain = one((50, 60, 250, 180))
    numbered = replace(plain, track_ids=np.array([7]))
    without = replace(plain, track_ids=np.array([-1]))
    assert (annotate(image, without) == annotate(image, plain)).all()
    assert (annotate(image, numbered) != annotate(image, plain)).any()
