"""COCO metrics on cases worked by hand."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.core.errors import DataError
from edgessd.metrics.coco import coco_metrics

LABELS = ("a", "b")


def found(*rows, labels=LABELS) -> Detections:
    """Rows are (x1, y1, x2, y2, class, score), best first."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(
        boxes=table[:, :4],
        scores=table[:, 5],
        class_ids=table[:, 4].astype(np.int64),
        labels=labels,
    )


def test_a_perfect_detector(truth_of) -> None:
    truth = [truth_of([0, 0, 100, 100, 0]), truth_of([5, 5, 15, 15, 0])]
    metrics = coco_metrics(
        truth, [found([0, 0, 100, 100, 0, 0.9]), found([5, 5, 15, 15, 0, 0.8])], LABELS
    )
    assert metrics.AP == pytest.approx(1)
    assert metrics.AP50 == pytest.approx(1)
    assert metrics.AP_small == pytest.approx(1)
    assert metrics.AP_large == pytest.approx(1)
    assert metrics.AR1 == pytest.approx(1)
    # What isn't defined is None, so that the record is JSON that anyone can read.
    assert metrics.AP_medium is None
    assert metrics.AR_medium is None
    assert metrics.per_class["a"] == {"AP": pytest.approx(1), "AP50": pytest.approx(1)}
    assert metrics.per_class["b"] == {"AP": None, "AP50": None}
    json.loads(json.dumps(msgspec.to_builtins(metrics), allow_nan=False))


def test_a_box_at_iou_three_quarters_counts_up_to_there(truth_of) -> None:
    """IoU 0.75 passes .5, .55, .6, .65, .7, .75: six of ten thresholds."""
    metrics = coco_metrics(
        [truth_of([0, 0, 100, 100, 0])], [found([0, 0, 75, 100, 0, 0.9])], LABELS
    )
    assert metrics.AP == pytest.approx(0.6)
    assert metrics.AP50 == pytest.approx(1)
    assert metrics.AP75 == pytest.approx(1)


def test_a_false_alarm_ranked_first_halves_precision(truth_of) -> None:
    metrics = coco_metrics(
        [truth_of([0, 0, 50, 50, 0])],
        [found([100, 100, 150, 150, 0, 0.9], [0, 0, 50, 50, 0, 0.8])],
        LABELS,
    )
    assert metrics.AP == pytest.approx(0.5)


def test_ignored_boxes_are_neither_hit_nor_miss(truth_of) -> None:
    truth = [truth_of([0, 0, 50, 50, 0], [100, 100, 200, 200, 0], ignore=(1,))]
    # Two detections inside the ignored box, one of them ranked first.
    rows = [[110, 110, 190, 190, 0, 0.95], [0, 0, 50, 50, 0, 0.9], [100, 100, 200, 200, 0, 0.8]]
    assert coco_metrics(truth, [found(*rows)], LABELS).AP == pytest.approx(1)
    assert coco_metrics(truth, [found(rows[1])], LABELS).AP == pytest.approx(1)


def test_finding_nothing_is_zero_and_not_undefined(truth_of) -> None:
    metrics = coco_metrics([truth_of([0, 0, 50, 50, 1])], [found()], LABELS)
    assert metrics.AP == 0
    assert metrics.AR100 == 0
    assert metrics.per_class["b"]["AP"] == 0


def test_images_without_objects_count_their_false_alarms(truth_of) -> None:
    truth = [truth_of([0, 0, 50, 50, 0]), truth_of()]
    with_alarm = [found([0, 0, 50, 50, 0, 0.8]), found([0, 0, 50, 50, 0, 0.9])]
    assert coco_metrics(truth, with_alarm, LABELS).AP == pytest.approx(0.5)


def test_without_anything_to_find_ap_is_refused(truth_of) -> None:
    with pytest.raises(DataError, match="AP isn't defined"):
        coco_metrics([truth_of()], [found()], LABELS)
    with pytest.raises(DataError, match="AP isn't defined"):
        coco_metrics([truth_of([0, 0, 5, 5, 0], ignore=(0,))], [found()], LABELS)


def test_every_image_needs_its_detections(truth_of) -> None:
    with pytest.raises(ValueError, match="2 images"):
        coco_metrics([truth_of(), truth_of()], [found()], LABELS)
