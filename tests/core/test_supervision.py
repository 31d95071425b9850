"""Detections handed on to supervision's annotators and zones."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.core.errors import ConfigError

FOUND = Detections(
    boxes=np.array([[10, 10, 50, 60], [30, 5, 90, 40]], np.float32),
    scores=np.array([0.9, 0.4], np.float32),
    class_ids=np.array([2, 0], np.int64),
    labels=("cat", "dog", "bird"),
)


def test_boxes_scores_names_and_tracks_are_the_same() -> None:
    pytest.importorskip("supervision")
    given = replace(FOUND, track_ids=np.array([7, 3], np.int64)).to_supervision()
    np.testing.assert_array_equal(given.xyxy, FOUND.boxes)
    np.testing.assert_array_equal(given.confidence, FOUND.scores)
    np.testing.assert_array_equal(given.class_id, [2, 0])
    np.testing.assert_array_equal(given.tracker_id, [7, 3])
    assert given["class_name"].tolist() == ["bird", "cat"]
    assert FOUND.to_supervision().tracker_id is None


def test_supervision_can_work_with_them() -> None:
    sv = pytest.importorskip("supervision")
    given = FOUND.to_supervision()
    strong = given[given.confidence > 0.5]
    assert strong["class_name"].tolist() == ["bird"]
    zone = sv.PolygonZone(polygon=np.array([[0, 0], [40, 0], [40, 100], [0, 100]]))
    assert zone.trigger(given).tolist() == [True, False]  # by the middle of the lower edge
    canvas = sv.BoxAnnotator().annotate(np.zeros((100, 100, 3), np.uint8), given)
    assert canvas.any()


def test_nothing_found_is_empty_there_too() -> None:
    sv = pytest.importorskip("supervision")
    none = Detections.empty(("cat",)).to_supervision()
    assert len(none) == 0
    assert len(sv.Detections.merge([none, FOUND.to_supervision()])) == 2


def test_without_it_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ConfigError, match="pip install supervision"):
        FOUND.to_supervision()
