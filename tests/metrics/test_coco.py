"""COCO metrics: the published numbers of a real evaluation, and cases worked by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from detection_rows import found

from edgessd.core.detections import Detections
from edgessd.core.errors import DataError
from edgessd.metrics.coco import coco_metrics

LABELS = ("a", "b")


@dataclass
class Truth:
    boxes: np.ndarray
    class_ids: np.ndarray
    ignore: np.ndarray


def load_oracle(folder: Path) -> tuple[list[Truth], list[Detections], tuple[str, ...]]:
    expected = json.loads((folder / "ground_truth.json").read_text())
    detected = json.loads((folder / "detections.json").read_text())["annotations"]
    categories = sorted(expected["categories"], key=lambda category: category["id"])
    class_of = {category["id"]: index for index, category in enumerate(categories)}
    labels = tuple(category["name"] for category in categories)

    def table(annotations: list[dict], image_id: int) -> np.ndarray:
        rows = [
            (*item["bbox"], class_of[item["category_id"]], item.get("score", item.get("iscrowd")))
            for item in annotations
            if item["image_id"] == image_id
        ]
        values = np.array(rows, np.float64).reshape(-1, 6)
        values[:, 2:4] += values[:, :2]
        return values

    truths, detections = [], []
    # Equal scores of different images count in the order of their ids.
    for image in sorted(expected["images"], key=lambda image: image["id"]):
        values = table(expected["annotations"], image["id"])
        truths.append(
            Truth(
                values[:, :4].astype(np.float32),
                values[:, 4].astype(np.int64),
                values[:, 5].astype(bool),
            )
        )
        values = table(detected, image["id"])
        values = values[np.argsort(-values[:, 5], kind="stable")]
        detections.append(found(*values.tolist(), labels=labels))
    return truths, detections, labels


def test_published_numbers_are_reproduced(shared: Path) -> None:
    folder = shared / "data" / "coco_eval_oracle"
    metrics = coco_metrics(*load_oracle(folder))
    expected = json.loads((folder / "expected.json").read_text())["stats"]
    # The numbers are published with six digits.
    np.testing.assert_allclose(list(metrics.twelve().values()), expected, rtol=0, atol=1e-6)


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
    # Undefined numbers are None, so that the record is valid JSON.
    assert metrics.AP_medium is None
    assert metrics.AR_medium is None
    assert metrics.per_class["a"] == {"AP": pytest.approx(1), "AP50": pytest.approx(1)}
    assert metrics.per_class["b"] == {"AP": None, "AP50": None}
    json.loads(json.dumps(msgspec.to_builtins(metrics), allow_nan=False))


def test_a_box_with_iou_three_quarters_hits_at_six_of_ten_thresholds(truth_of) -> None:
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


def test_ap_without_ground_truth_is_refused(truth_of) -> None:
    with pytest.raises(DataError, match="AP isn't defined"):
        coco_metrics([truth_of()], [found()], LABELS)
    with pytest.raises(DataError, match="AP isn't defined"):
        coco_metrics([truth_of([0, 0, 5, 5, 0], ignore=(0,))], [found()], LABELS)


def test_every_image_needs_its_detections(truth_of) -> None:
    with pytest.raises(ValueError, match="2 images"):
        coco_metrics([truth_of(), truth_of()], [found()], LABELS)
