"""Thresholds and classes of several streams of one detector."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edgessd.core.detections import Detections
from edgessd.core.errors import ConfigError
from edgessd.pipeline.controls import Controls

LABELS = ("person", "car", "dog")


@pytest.fixture
def controls() -> Controls:
    detector = SimpleNamespace(labels=LABELS, score_threshold=0.3)
    return Controls(detector, streams=2)  # type: ignore[arg-type]


def found(*pairs: tuple[str, float]) -> Detections:
    return Detections(
        boxes=np.zeros((len(pairs), 4), np.float32),
        scores=np.array([score for _, score in pairs], np.float32),
        class_ids=np.array([LABELS.index(label) for label, _ in pairs], np.int64),
        labels=LABELS,
    )


def chosen(controls: Controls, stream: int) -> list[str]:
    everything = found(("person", 0.9), ("car", 0.6), ("dog", 0.35), ("person", 0.2))
    passing = everything[everything.scores > controls.score_threshold]
    return [label for label, _, _ in controls.choose(passing, stream).named()]


def test_each_stream_has_a_threshold_and_classes_of_its_own(controls: Controls) -> None:
    controls.set_stream(0, score_threshold=0.1, classes=["person", "dog"])
    controls.set_stream(1, score_threshold=0.5)
    assert chosen(controls, 0) == ["person", "dog", "person"]
    assert chosen(controls, 1) == ["person", "car"]


def test_a_stream_without_a_threshold_keeps_the_models(controls: Controls) -> None:
    controls.set_stream(0, score_threshold=0.1)
    assert chosen(controls, 0) == ["person", "car", "dog", "person"]
    assert chosen(controls, 1) == ["person", "car", "dog"]
    controls.set_stream(0, score_threshold=0.5)
    assert controls.score_threshold == 0.3
    assert chosen(controls, 1) == ["person", "car", "dog"]


def test_a_change_for_all_replaces_what_the_streams_had(controls: Controls) -> None:
    controls.set_stream(0, score_threshold=0.1, classes=["person"])
    controls.set_stream(1, score_threshold=0.5, classes=["car"])
    assert controls.classes == {"person", "car"}
    assert controls.score_threshold == 0.1
    controls.score_threshold = 0.4
    controls.classes = ["car"]
    assert chosen(controls, 0) == chosen(controls, 1) == ["car"]
    controls.classes = None
    assert chosen(controls, 0) == ["person", "car"]


def test_a_streams_labels_are_in_the_order_of_the_detector(controls: Controls) -> None:
    controls.set_stream(0, classes=["dog", "person"])
    assert controls.labels_of(0) == ("person", "dog")
    assert controls.labels_of(1) == LABELS


def test_classes_of_all_streams_are_all_if_one_has_no_choice(controls: Controls) -> None:
    controls.set_stream(1, classes=["car"])
    assert controls.classes is None


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_out_of_range_is_refused(controls: Controls, threshold: float) -> None:
    with pytest.raises(ConfigError, match="0 to 1"):
        controls.score_threshold = threshold
    with pytest.raises(ConfigError, match="0 to 1"):
        controls.set_stream(1, score_threshold=threshold)


def test_an_unknown_class_is_refused_and_nothing_changes(controls: Controls) -> None:
    with pytest.raises(ConfigError, match="some of person, car, dog"):
        controls.set_stream(0, score_threshold=0.1, classes=["cat"])
    with pytest.raises(ConfigError, match="'cat'"):
        controls.classes = ["cat"]
    assert controls.classes is None
    assert controls.score_threshold == 0.3
