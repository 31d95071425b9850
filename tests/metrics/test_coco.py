"""COCO metrics: the published numbers of a real evaluation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgessd.core.detections import Detections
from edgessd.metrics.coco import coco_metrics


@dataclass
class Truth:
    boxes: np.ndarray
    class_ids: np.ndarray
    ignore: np.ndarray


def found(*rows: tuple, labels: tuple[str, ...] = ("a", "b")) -> Detections:
    """Rows are (x1, y1, x2, y2, class, score), best first."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(
        boxes=table[:, :4],
        scores=table[:, 5],
        class_ids=table[:, 4].astype(np.int64),
        labels=labels,
    )


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
