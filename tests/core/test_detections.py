"""`Detections`: validation, selection, and conversion to supervision."""

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


def three(track_ids=None) -> Detections:
    return Detections(
        boxes=np.arange(12, dtype=np.float32).reshape(3, 4),
        scores=np.array([0.9, 0.5, 0.1], np.float32),
        class_ids=np.array([1, 0, 1]),
        labels=("a", "b"),
        track_ids=track_ids,
    )


def test_named_gives_plain_values() -> None:
    label, score, box = next(three().named())
    assert (label, box) == ("b", (0.0, 1.0, 2.0, 3.0))
    assert score == pytest.approx(0.9)
    assert type(score) is float


def test_a_selection_applies_to_all_fields() -> None:
    chosen = three(np.array([7, 8, 9]))[np.array([False, True, True])]
    assert len(chosen) == 2
    assert chosen.class_ids.tolist() == [0, 1]
    assert chosen.track_ids is not None
    assert chosen.track_ids.tolist() == [8, 9]
    assert len(three()[:1]) == 1
    assert three()[:1].track_ids is None


def test_empty() -> None:
    nothing = Detections.empty(("a",))
    assert len(nothing) == 0
    assert list(nothing.named()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": np.zeros((2, 4), np.float32)},
        {"boxes": np.zeros((3, 5), np.float32)},
        {"class_ids": np.zeros(2, np.int64)},
        {"track_ids": np.zeros(4, np.int64)},
    ],
)
def test_fields_must_describe_the_same_detections(change) -> None:
    fields = {
        "boxes": np.zeros((3, 4), np.float32),
        "scores": np.zeros(3, np.float32),
        "class_ids": np.zeros(3, np.int64),
        "labels": ("a",),
    }
    with pytest.raises(ValueError, match=r"describe the same|track_ids"):
        Detections(**{**fields, **change})


def test_supervision_gets_the_same_boxes_scores_names_and_tracks() -> None:
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


def test_nothing_found_is_empty_in_supervision_too() -> None:
    sv = pytest.importorskip("supervision")
    none = Detections.empty(("cat",)).to_supervision()
    assert len(none) == 0
    assert len(sv.Detections.merge([none, FOUND.to_supervision()])) == 2


def test_without_supervision_its_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ConfigError, match="pip install supervision"):
        FOUND.to_supervision()
