"""`Detections`: consistent when made, sliced as one."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.detections import Detections


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


def test_a_choice_keeps_all_fields_together() -> None:
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
