"""Boxes are assigned to anchors, on few anchors that are matched by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.anchors import AnchorLevel, AnchorSpec, anchor_boxes
from edgessd.core.boxes import cxcywh_to_xyxy
from edgessd.core.contract import BoxCode
from edgessd.core.decode import decode_boxes
from edgessd.train.matcher import IGNORED, NEGATIVE, Matcher

# Four anchors of half the input, side by side in a 2x2 grid, in row-major order.
GRID = AnchorSpec(levels=(AnchorLevel(rows=2, columns=2, step=(0.5, 0.5), shapes=((0.5, 0.5),)),))


def match(boxes: list[list[float]], ignore: list[bool] | None = None, anchors: AnchorSpec = GRID):
    array = np.array(boxes, np.float32).reshape(-1, 4)
    flags = np.array(ignore if ignore is not None else [False] * len(array), np.bool_)
    return Matcher(anchors, BoxCode())(array, np.arange(len(array)), flags)


def test_no_box_leaves_every_anchor_negative():
    found = match([])
    assert found.class_ids.tolist() == [NEGATIVE] * 4
    assert not found.box_codes.any()


def test_the_best_anchor_learns_a_box_that_no_anchor_overlaps_by_half():
    # A tenth of the input in the lower right cell: IoU 0.01 / 0.25.
    found = match([[0.7, 0.7, 0.8, 0.8]])
    assert found.class_ids.tolist() == [NEGATIVE, NEGATIVE, NEGATIVE, 0]


def test_every_anchor_from_half_overlap_on_learns_the_box():
    # The upper half of the input: IoU 0.25 / 0.5 = 0.5 with each of the upper anchors.
    found = match([[0.0, 0.0, 1.0, 0.5]])
    assert found.class_ids.tolist() == [0, 0, NEGATIVE, NEGATIVE]


def test_two_boxes_with_one_best_anchor_get_two_anchors():
    # Both lie in the upper left cell; the second fits it better, so the first takes its next best.
    found = match([[0.2, 0.1, 0.6, 0.4], [0.0, 0.0, 0.5, 0.45]])
    assert found.class_ids.tolist() == [1, 0, NEGATIVE, NEGATIVE]


def test_codes_decode_to_the_box():
    boxes = [[0.05, 0.1, 0.45, 0.55], [0.5, 0.5, 0.9, 1.0]]
    found = match(boxes)
    decoded = decode_boxes(found.box_codes, anchor_boxes(GRID), BoxCode())
    np.testing.assert_allclose(decoded[0], boxes[0], atol=1e-6)
    np.testing.assert_allclose(decoded[3], boxes[1], atol=1e-6)


def test_anchors_of_an_ignored_box_are_ignored():
    found = match([[0.0, 0.0, 0.5, 0.5]], [True])
    assert found.class_ids.tolist() == [IGNORED, NEGATIVE, NEGATIVE, NEGATIVE]


def test_anchors_inside_a_large_ignored_box_are_ignored():
    # IoU with the whole input is only 0.25, but the anchors lie in it.
    assert match([[0.0, 0.0, 1.0, 1.0]], [True]).class_ids.tolist() == [IGNORED] * 4


def test_a_learned_box_wins_over_an_ignored_one():
    found = match([[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0]], [False, True])
    assert found.class_ids.tolist() == [0, IGNORED, IGNORED, IGNORED]


@pytest.mark.parametrize("seed", range(5))
def test_every_box_has_an_anchor_of_its_own(seed: int):
    rng = np.random.default_rng(seed)
    level = AnchorLevel(rows=8, columns=8, step=(1 / 8, 1 / 8), shapes=((0.2, 0.2), (0.3, 0.15)))
    anchors = AnchorSpec(levels=(level,))
    centers = rng.uniform(0.1, 0.9, (30, 2))
    sizes = rng.uniform(0.02, 0.3, (30, 2))
    boxes = cxcywh_to_xyxy(np.concatenate([centers, sizes], axis=1).astype(np.float32))
    found = match(boxes.tolist(), anchors=anchors)
    assert set(found.class_ids.tolist()) - {NEGATIVE} == set(range(30))
