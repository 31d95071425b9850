"""Box geometry on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.boxes import (
    areas,
    clip_boxes,
    cxcywh_to_xyxy,
    iou_matrix,
    iou_pairs,
    xyxy_to_cxcywh,
)


def test_the_two_forms_of_a_box() -> None:
    corners = np.array([[[1, 2, 5, 10]]], np.float32)
    centers = np.array([[[3, 6, 4, 8]]], np.float32)
    np.testing.assert_array_equal(xyxy_to_cxcywh(corners), centers)
    np.testing.assert_array_equal(cxcywh_to_xyxy(centers), corners)
    assert xyxy_to_cxcywh(corners).dtype == np.float32


def test_an_inverted_box_has_no_area() -> None:
    boxes = np.array([[0, 0, 2, 3], [2, 3, 0, 0], [0, 0, -1, 5]], np.float32)
    np.testing.assert_array_equal(areas(boxes), [6, 0, 0])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1),
        ([0, 0, 2, 2], [1, 0, 3, 2], 1 / 3),
        ([0, 0, 4, 4], [1, 1, 2, 2], 1 / 16),
        ([0, 0, 1, 1], [1, 0, 2, 1], 0),  # they touch
        ([0, 0, 1, 1], [5, 5, 6, 6], 0),
        ([1, 1, 1, 1], [1, 1, 1, 1], 0),  # both empty
        ([0, 0, 2, 2], [2, 2, 0, 0], 0),  # one inverted
    ],
)
def test_overlap_of_two_boxes(first, second, expected) -> None:
    a, b = np.array([first], np.float32), np.array([second], np.float32)
    assert iou_matrix(a, b)[0, 0] == pytest.approx(expected)
    assert iou_matrix(b, a)[0, 0] == pytest.approx(expected)
    assert iou_pairs(a, b)[0] == pytest.approx(expected)


def test_matrix_and_pairs_agree() -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 1, (2, 50, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0, 1, (2, 50, 2))], axis=2)
    first, second = boxes.astype(np.float32)
    matrix = iou_matrix(first, second[:30])
    assert matrix.shape == (50, 30)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(np.diag(iou_matrix(first, second)), iou_pairs(first, second))


@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (3, 0), (0, 0)])
def test_no_boxes_have_no_overlaps(rows, columns) -> None:
    found = iou_matrix(np.zeros((rows, 4), np.float32), np.zeros((columns, 4), np.float32))
    assert found.shape == (rows, columns)


def test_clipping_keeps_the_input_untouched() -> None:
    boxes = np.array([[-5, 3, 30, 40]], np.float32)
    np.testing.assert_array_equal(clip_boxes(boxes, 20, 10), [[0, 3, 20, 10]])
    np.testing.assert_array_equal(boxes, [[-5, 3, 30, 40]])
