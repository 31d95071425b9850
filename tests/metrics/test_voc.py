"""VOC's matching and both its AP, against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.core.errors import DataError
from edgessd.metrics.matching import ClassMatches, match_detections
from edgessd.metrics.voc import voc07_ap, voc10_ap, voc_metrics

LABELS = ("a", "b")


def found(*rows) -> Detections:
    """Rows are (x1, y1, x2, y2, class, score), best first."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(
        boxes=table[:, :4],
        scores=table[:, 5],
        class_ids=table[:, 4].astype(np.int64),
        labels=LABELS,
    )


def matches_of(hits, boxes: int) -> ClassMatches:
    scores = np.linspace(0.9, 0.1, len(hits)).astype(np.float32)
    return ClassMatches(label="a", scores=scores, hits=np.array(hits, bool), boxes=boxes)


def test_recall_and_precision() -> None:
    recall, precision = matches_of([1, 0, 1, 1], boxes=5).recall_precision()
    np.testing.assert_allclose(recall, [0.2, 0.2, 0.4, 0.6])
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3, 3 / 4])


def test_both_ap_of_one_curve() -> None:
    """Hits 1, 3 and 4 of five boxes: precision from the right is 1, .75, .75, .75.

    VOC10: .2 * 1 + .4 * .75 = .5. VOC07: recalls 0, .1, .2 have 1; .3 to .6 have .75; beyond is 0:
    (3 + 4 * .75) / 11.
    """
    matches = matches_of([1, 0, 1, 1], boxes=5)
    assert voc10_ap(matches) == pytest.approx(0.5)
    assert voc07_ap(matches) == pytest.approx(6 / 11)


def test_a_recall_of_three_tenths_reaches_the_point_at_three_tenths() -> None:
    """0.1 * 3 is more than 0.3 in floating point; the point counts all the same."""
    assert voc07_ap(matches_of([1, 1, 1], boxes=10)) == pytest.approx(4 / 11)


def test_finding_nothing_is_zero() -> None:
    assert voc07_ap(matches_of([], boxes=3)) == 0
    assert voc10_ap(matches_of([], boxes=3)) == 0


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


def test_classes_are_apart(truth_of) -> None:
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


def test_without_anything_to_find_ap_is_refused(truth_of) -> None:
    with pytest.raises(DataError, match="AP isn't defined"):
        voc_metrics(match_detections([truth_of()], [found()], LABELS))
