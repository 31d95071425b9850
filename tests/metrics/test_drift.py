"""Drift of detections: pairs, lost and added ones, on boxes worked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.core.errors import ConfigError
from edgessd.metrics.drift import image_drift, summarize_drift

LABELS = ("cat", "dog")


def found(*rows: tuple[float, float, float, float, float, int], labels=LABELS) -> Detections:
    """Detections of rows (x1, y1, x2, y2, score, class)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(
        boxes=table[:, :4],
        scores=table[:, 4],
        class_ids=table[:, 5].astype(np.int64),
        labels=labels,
    )


def test_equal_detections_do_not_disagree() -> None:
    same = found((0, 0, 10, 10, 0.9, 0), (20, 0, 30, 10, 0.4, 1))
    drift = image_drift(same, same)
    assert drift.disagreement == 0
    assert summarize_drift([drift]).matched == 2


def test_a_pair_gives_its_overlap_and_score_shift() -> None:
    # 10 wide moved by 2: 8 of 12 overlap.
    drift = image_drift(found((0, 0, 10, 10, 0.9, 0)), found((2, 0, 12, 10, 0.7, 0)))
    assert drift.overlaps == pytest.approx([8 / 12])
    assert drift.score_shifts == pytest.approx([-0.2])
    assert drift.disagreement == pytest.approx(0.2 + 4 / 12)


def test_a_detection_that_fell_below_the_threshold_is_not_lost() -> None:
    drift = image_drift(found((0, 0, 10, 10, 0.31, 0)), found((0, 0, 10, 10, 0.05, 0)))
    assert len(drift.lost) == 0
    assert drift.score_shifts == pytest.approx([-0.26])


def test_a_detection_that_rose_over_the_threshold_is_not_added() -> None:
    drift = image_drift(found((0, 0, 10, 10, 0.29, 0)), found((0, 0, 10, 10, 0.35, 0)))
    assert (len(drift.lost), len(drift.added)) == (0, 0)
    assert drift.score_shifts == pytest.approx([0.06])


def test_another_class_or_another_place_is_lost_and_added() -> None:
    reference = found((0, 0, 10, 10, 0.9, 0), (50, 0, 60, 10, 0.2, 0))
    other_class = image_drift(reference, found((0, 0, 10, 10, 0.8, 1)))
    assert other_class.lost == pytest.approx([0.9])
    assert other_class.added == pytest.approx([0.8])
    elsewhere = image_drift(reference, found((6, 0, 16, 10, 0.8, 0)))  # 4 of 16 overlap
    assert other_class.disagreement == pytest.approx(elsewhere.disagreement)


def test_each_box_is_claimed_once_by_the_best() -> None:
    reference = found((0, 0, 10, 10, 0.9, 0), (1, 0, 11, 10, 0.8, 0))
    drift = image_drift(reference, found((0, 0, 10, 10, 0.5, 0)))
    assert drift.score_shifts == pytest.approx([-0.4])
    assert drift.lost == pytest.approx([0.8])


def test_one_side_or_both_without_detections() -> None:
    some, none = found((0, 0, 10, 10, 0.9, 0)), found()
    assert image_drift(some, none).lost == pytest.approx([0.9])
    assert image_drift(none, some).added == pytest.approx([0.9])
    summary = summarize_drift([image_drift(none, none)])
    assert (summary.matched, summary.mean_iou, summary.worst_score_drift) == (0, None, None)


def test_the_summary_averages_pairs_and_keeps_the_sign() -> None:
    reference = found((0, 0, 10, 10, 0.5, 0))
    images = [image_drift(reference, found((0, 0, 10, 10, score, 0))) for score in (0.4, 0.5, 0.7)]
    record = json.loads(json.dumps(summarize_drift(images).as_json()))
    assert record["matched"] == 3
    assert record["mean_iou"] == record["worst_iou"] == 1
    assert record["mean_score_shift"] == pytest.approx(0.1 / 3)
    assert record["mean_score_drift"] == pytest.approx(0.1)
    assert record["worst_score_drift"] == pytest.approx(0.2)


def test_labels_are_matched_by_name() -> None:
    turned = found((0, 0, 10, 10, 0.9, 1), labels=("dog", "cat"))
    assert image_drift(found((0, 0, 10, 10, 0.9, 0)), turned).disagreement == 0
    with pytest.raises(ConfigError, match="different classes"):
        image_drift(found(), found(labels=("cat", "cow")))
