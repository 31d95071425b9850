"""Compute average precision by COCO's rules (cocodataset.org, Detection Evaluation) with faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgessd.core.contract import Nms
from edgessd.core.detections import Detections
from edgessd.core.errors import BackendError, DataError
from edgessd.metrics.ground_truth import TrueBoxes

# Settings of every AP that the project measures. AP counts at most 100 boxes a class and image; a limit over
# all classes would lower it, so the limit here is out of reach.
EVALUATION_NMS = Nms(
    score_threshold=0.01, iou_threshold=0.45, max_candidates=400, max_detections=100_000
)

_TWELVE = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)


class CocoMetrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """COCO's 12 numbers and AP per class, each in [0, 1].

    Attributes:
        AP: Mean over IoU .50:.05:.95 and over the classes that have ground truth.
        AP50, AP75: AP at IoU .50 and at IoU .75.
        AP_small, AP_medium, AP_large: AP of boxes up to 32x32, up to 96x96, and larger, in pixels of the
            original image; None without such boxes.
        AR1, AR10, AR100: Average recall with 1, 10 and 100 boxes a class and image.
        AR_small, AR_medium, AR_large: AR100 by the same sizes; None without such boxes.
        per_class: {label: {"AP", "AP50"}}; None for a class without ground truth.
    """

    AP: float
    AP50: float
    AP75: float
    AP_small: float | None
    AP_medium: float | None
    AP_large: float | None
    AR1: float
    AR10: float
    AR100: float
    AR_small: float | None
    AR_medium: float | None
    AR_large: float | None
    per_class: dict[str, dict[str, float | None]]

    def twelve(self) -> dict[str, float | None]:
        """Return the 12 numbers by name, in COCO's order."""
        return {name: getattr(self, name) for name in _TWELVE}


def coco_metrics(
    truth: Sequence[TrueBoxes], found: Sequence[Detections], labels: tuple[str, ...]
) -> CocoMetrics:
    """Score detections against ground truth.

    Args:
        truth: One item an image; ignored boxes count as COCO's `iscrowd`.
        found: One item an image, in the same order.
        labels: Names of the classes that `class_ids` of both index.

    Raises:
        DataError: No image has a true box, so AP isn't defined.
        BackendError: faster-coco-eval isn't installed.
    """
    if len(truth) != len(found):
        raise ValueError(f"{len(truth)} images, but detections of {len(found)}")
    if not any((~image.ignore).any() for image in truth):
        raise DataError(
            "AP isn't defined without ground truth",
            expected="at least one labeled box",
            found=f"{len(truth)} images without a box",
            fix="Choose a split that has labels",
        )
    evaluation = _evaluate(truth, found, len(labels))
    numbers = [_defined(value) for value in evaluation.stats[:12]]
    # Axes (IoU, recall, class, area, boxes an image): all areas, the largest number of boxes.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    per_class = {
        label: {
            "AP": _defined(precision[:, :, index].mean()),
            "AP50": _defined(precision[0, :, index].mean()),
        }
        for index, label in enumerate(labels)
    }
    return msgspec.convert(
        {**dict(zip(_TWELVE, numbers, strict=True)), "per_class": per_class}, CocoMetrics
    )


def _evaluate(truth: Sequence[TrueBoxes], found: Sequence[Detections], classes: int) -> Any:
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise BackendError(
            "AP needs faster-coco-eval",
            found=str(error),
            fix="Install it: pip install faster-coco-eval",
        ) from error
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(truth):
        for (x1, y1, x2, y2), class_id, ignore in zip(
            image.boxes.tolist(), image.class_ids.tolist(), image.ignore.tolist(), strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # faster-coco-eval takes 0 for unmatched
                    "image_id": image_id,
                    "category_id": class_id,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(ignore),
                }
            )
    expected = COCO(
        {
            "images": [{"id": image_id} for image_id in range(len(truth))],
            "annotations": annotations,
            "categories": [{"id": class_id, "name": str(class_id)} for class_id in range(classes)],
        }
    )
    evaluation = COCOeval_faster(expected, expected.loadRes(_rows(found)), iouType="bbox")
    evaluation.run()
    return evaluation


def _rows(found: Sequence[Detections]) -> NDArray[np.float64]:
    """Make rows (n, 7) of image, x, y, width, height, score, class."""
    rows = [np.zeros((0, 7))]
    for image_id, detections in enumerate(found):
        boxes = detections.boxes.astype(np.float64)
        rows.append(
            np.column_stack(
                [
                    np.full(len(boxes), image_id),
                    boxes[:, :2],
                    boxes[:, 2:] - boxes[:, :2],
                    detections.scores,
                    detections.class_ids,
                ]
            )
        )
    return np.concatenate(rows)


def _defined(value: float) -> float | None:
    """Turn COCO's -1, which means that there is nothing to average, into None."""
    return None if value < 0 else float(value)
