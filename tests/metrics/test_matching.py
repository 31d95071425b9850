"""Matches of detections and true boxes on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from detection_rows import found

from edgessd.metrics.matching import ClassMatches, match_detections
from edgessd.metrics.voc import voc_metrics

LABELS = ("a", "b")


def matches_of(hits, boxes: int) -> ClassMatches:
    scores = np.linspace(0.9, 0.1, len(hits)).astype(np.float32)
    return ClassMatches(label="a", scores=scores, hits=np.array(hits, bool), boxes=boxes)


def test_recall_and_precision() -> None:
    recall, precision = matches_of([1, 0, 1, 1], boxes=5).recall_precision()
    np.testing.assert_allclose(recall, [0.2, 0.2, 0.4, 0.6])
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3, 3 / 4])


def test_a_second_claim_of_a_box_is_a_false_alarm(truth_of) -> None:
    (matches, _) = match_detections(
        [truth_of([0, 0, 10, 10, 0])],
        [found([0, 0, 10, 9, 0, 0.9], [0, 0, 10, 10, 0, 0.8])],
        LABELS,
    )
    # The better score claims first, though the second box fits better.
    assert matches.hits.tolist() == [True, False]


def test_a_claim_goes_to_the_box_of_highest_overlap(truth_of) -> None:
    truth = [truth_of([0, 0, 10, 10, 0], [0, 0, 10, 12, 0])]
    detections = [found([0, 0, 10, 12, 0, 0.9], [0, 0, 10, 11.9, 0, 0.8])]
    (matches, _) = match_detections(truth, detections, LABELS)
    # The second also overlaps the first box by .84, but VOC has it claim the taken one.
    assert matches.hits.tolist() == [True, False]


def test_an_overlap_of_exactly_half_is_a_hit(truth_of) -> None:
    (matches, _) = match_detections(
        [truth_of([0, 0, 10, 10, 0])], [found([0, 0, 10, 5, 0, 0.9])], LABELS
    )
    assert matches.hits.tolist() == [True]


def test_classes_are_matched_separately(truth_of) -> None:
    first, second = match_detections(
        [truth_of([0, 0, 10, 10, 0])], [found([0, 0, 10, 10, 1, 0.9])], LABELS
    )
    assert (first.boxes, first.hits.tolist()) == (1, [])
    assert (second.boxes, second.hits.tolist()) == (0, [False])


def test_claims_of_an_ignored_box_do_not_count(truth_of) -> None:
    (matches, _) = match_detections(
        [truth_of([0, 0, 10, 10, 0], [20, 20, 40, 40, 0], ignore=(1,))],
        [found([20, 20, 40, 40, 0, 0.9], [20, 20, 40, 39, 0, 0.8], [0, 0, 10, 10, 0, 0.7])],
        LABELS,
    )
    assert matches.hits.tolist() == [True]
    assert matches.boxes == 1


def test_images_are_ranked_together(truth_of) -> None:
    truth = [truth_of([0, 0, 10, 10, 0]), truth_of()]
    detections = [found([0, 0, 10, 10, 0, 0.5]), found([0, 0, 10, 10, 0, 0.9])]
    metrics = voc_metrics(match_detections(truth, detections, LABELS))
    assert metrics.voc10_AP50 == pytest.approx(0.5)
    assert metrics.voc07_AP50 == pytest.approx(0.5)
    assert metrics.per_class["b"] == {"voc07_AP50": None, "voc10_AP50": None}
