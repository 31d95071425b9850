"""Both AP of PASCAL VOC, against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from detection_rows import found

from edgessd.core.errors import DataError
from edgessd.metrics.matching import ClassMatches, match_detections
from edgessd.metrics.voc import voc07_ap, voc10_ap, voc_metrics

LABELS = ("a", "b")


def matches_of(hits, boxes: int) -> ClassMatches:
    scores = np.linspace(0.9, 0.1, len(hits)).astype(np.float32)
    return ClassMatches(label="a", scores=scores, hits=np.array(hits, bool), boxes=boxes)


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


def test_ap_without_ground_truth_is_refused(truth_of) -> None:
    with pytest.raises(DataError, match="AP isn't defined"):
        voc_metrics(match_detections([truth_of()], [found()], LABELS))
