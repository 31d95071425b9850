"""Suppression: edge cases worked by hand, and random ones against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core import nms as nms_module
from edgessd.core.boxes import iou_matrix
from edgessd.core.contract import Nms
from edgessd.core.nms import nms, nms_per_class


def boxes_of(*rows) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def scores_of(*values) -> np.ndarray:
    return np.array(values, np.float32)


def by_definition(boxes, scores, class_ids, settings: Nms) -> list[int]:
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    overlaps = iou_matrix(boxes, boxes)
    seen: dict[int, int] = {}
    kept: list[int] = []
    for index in order:
        class_id = int(class_ids[index])
        seen[class_id] = seen.get(class_id, 0) + 1
        if seen[class_id] > settings.max_candidates:
            continue
        rivals = [other for other in kept if class_ids[other] == class_id]
        if all(overlaps[index, other] <= settings.iou_threshold for other in rivals):
            kept.append(index)
    return kept[: settings.max_detections]


def test_no_boxes_give_no_boxes() -> None:
    assert nms(boxes_of(), scores_of(), iou_threshold=0.5).tolist() == []
    assert nms_per_class(boxes_of(), scores_of(), np.zeros(0, np.int64), Nms()).tolist() == []


def test_one_box_stays() -> None:
    assert nms(boxes_of([0, 0, 1, 1]), scores_of(0.1), iou_threshold=0.0).tolist() == [0]


def test_of_two_equal_boxes_with_equal_scores_the_first_stays() -> None:
    boxes = boxes_of([0, 0, 1, 1], [0, 0, 1, 1])
    assert nms(boxes, scores_of(0.5, 0.5), iou_threshold=0.5).tolist() == [0]


def test_equal_scores_come_out_in_the_order_they_came_in() -> None:
    boxes = boxes_of([0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5])
    assert nms(boxes, scores_of(0.5, 0.7, 0.5), iou_threshold=0.5).tolist() == [1, 0, 2]


def test_an_overlap_of_exactly_the_threshold_is_kept() -> None:
    boxes = boxes_of([0, 0, 2, 2], [0, 0, 2, 1])  # IoU 1/2
    assert nms(boxes, scores_of(0.9, 0.8), iou_threshold=0.5).tolist() == [0, 1]
    assert nms(boxes, scores_of(0.9, 0.8), iou_threshold=0.49).tolist() == [0]


def test_a_suppressed_box_suppresses_nothing() -> None:
    # Each overlaps its neighbor by 2/3; the middle one goes, so the last one stays.
    boxes = boxes_of([0, 0, 5, 1], [1, 0, 6, 1], [2, 0, 7, 1])
    assert nms(boxes, scores_of(0.9, 0.8, 0.7), iou_threshold=0.5).tolist() == [0, 2]


def test_classes_do_not_suppress_each_other() -> None:
    boxes = boxes_of([0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1])
    kept = nms_per_class(boxes, scores_of(0.5, 0.9, 0.7), np.array([0, 1, 1]), Nms())
    assert kept.tolist() == [1, 0]


def test_candidates_are_limited_per_class_and_detections_over_all() -> None:
    boxes = boxes_of(*([[index * 2, 0, index * 2 + 1, 1] for index in range(6)]))
    scores, classes = scores_of(0.6, 0.5, 0.4, 0.3, 0.2, 0.1), np.array([0, 0, 0, 1, 1, 1])
    kept = nms_per_class(boxes, scores, classes, Nms(max_candidates=2))
    assert kept.tolist() == [0, 1, 3, 4]
    kept = nms_per_class(boxes, scores, classes, Nms(max_candidates=2, max_detections=3))
    assert kept.tolist() == [0, 1, 3]


def test_empty_boxes_neither_suppress_nor_are_suppressed() -> None:
    boxes = boxes_of([1, 1, 1, 1], [1, 1, 1, 1])
    assert nms(boxes, scores_of(0.9, 0.8), iou_threshold=0.0).tolist() == [0, 1]


@pytest.mark.parametrize("pairs_at_once", [1, 7, 100_000])
@pytest.mark.parametrize("seed", range(40))
def test_random_scenes_follow_the_definition(seed, pairs_at_once, monkeypatch) -> None:
    monkeypatch.setattr(nms_module, "_MOST_PAIRS", pairs_at_once)
    random = np.random.default_rng(seed)
    count = int(random.integers(0, 70))
    corners = random.uniform(0, 1, (count, 2))
    boxes = np.hstack([corners, corners + random.uniform(0.1, 0.6, (count, 2))]).astype(np.float32)
    scores = (random.integers(0, 12, count) / 12).astype(np.float32)  # many ties
    classes = random.integers(0, 4, count)
    settings = Nms(
        max_candidates=int(random.integers(1, 25)), max_detections=int(random.integers(1, 40))
    )
    found = nms_per_class(boxes, scores, classes, settings)
    assert found.tolist() == by_definition(boxes, scores, classes, settings)
    alone = nms(boxes, scores, iou_threshold=0.45)
    unlimited = Nms(max_candidates=1000, max_detections=1000)
    assert alone.tolist() == by_definition(boxes, scores, np.zeros_like(classes), unlimited)


def test_many_candidates_are_compared_in_blocks() -> None:
    import tracemalloc

    count = 20_000
    boxes = np.tile(np.array([[0, 0, 1, 1]], np.float32), (count, 1))
    scores = np.linspace(1, 0, count, dtype=np.float32)
    tracemalloc.start()
    kept = nms_per_class(
        boxes, scores, np.arange(count) % 5, Nms(max_candidates=2000, max_detections=10)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept.tolist() == [0, 1, 2, 3, 4]
    assert peak < 50e6  # all 10 million pairs at once would take well over a gigabyte
