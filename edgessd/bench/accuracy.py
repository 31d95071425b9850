"""Measure the accuracy of a predictor; every AP of the project is measured here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgessd.core.arrays import ImageArray
from edgessd.core.contract import Nms
from edgessd.core.detections import Detections
from edgessd.core.errors import DataError
from edgessd.core.images import read_image
from edgessd.metrics.coco import EVALUATION_NMS, CocoMetrics, coco_metrics
from edgessd.metrics.confusion import ConfusionMatrix, confusion_matrix, plot_confusion
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.metrics.matching import ClassMatches, match_detections
from edgessd.metrics.pr_curve import plot_pr_curves
from edgessd.metrics.voc import VocMetrics, voc_metrics

Predictor = Callable[[ImageArray], Detections]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class AccuracyReport:
    """Accuracy of a predictor on a list of images.

    Attributes:
        metrics: COCO's numbers.
        voc: PASCAL VOC's numbers.
        matches: Detections matched at IoU 0.5 by class, for curves.
        confusion: Confusion matrix.
        images: Number of measured images.
        boxes: Number of true boxes in them, without ignored ones.
        skipped: Reasons why images couldn't be measured, one sentence an image.
        nms: Suppression settings of the predictor.
        data: Name of the dataset.
        split: Name of the split.
    """

    metrics: CocoMetrics
    voc: VocMetrics
    matches: tuple[ClassMatches, ...]
    confusion: ConfusionMatrix
    images: int
    boxes: int
    skipped: tuple[str, ...]
    nms: Nms
    data: str = ""
    split: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return everything but the curves as plain values; None for a number that isn't defined."""
        return {
            **self.metrics.twelve(),
            "voc07_AP50": self.voc.voc07_AP50,
            "voc10_AP50": self.voc.voc10_AP50,
            "images": self.images,
            "boxes": self.boxes,
            "skipped": list(self.skipped),
            "per_class": {
                label: {**numbers, **self.voc.per_class[label]}
                for label, numbers in self.metrics.per_class.items()
            },
            "data": self.data,
            "split": self.split,
            "settings": {
                "score_threshold": self.nms.score_threshold,
                "iou_threshold": self.nms.iou_threshold,
                "max_candidates": self.nms.max_candidates,
                "max_detections_per_class": 100,
            },
        }

    def describe(self) -> str:
        """Describe data and settings of the AP in one sentence."""
        where = f" of {self.data}" if self.data else ""
        split = f" (split {self.split})" if self.split else ""
        return (
            f"COCO AP over {self.images} images and {self.boxes} boxes{where}{split}: "
            f"score > {self.nms.score_threshold:g}, NMS at IoU {self.nms.iou_threshold:g} per class, "
            f"{self.nms.max_candidates} candidates a class."
        )

    def write_plots(self, folder: Path) -> tuple[Path, ...]:
        """Write pr_curves.png and confusion.png, and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        curves, matrix = folder / "pr_curves.png", folder / "confusion.png"
        plot_pr_curves(self.matches, curves)
        plot_confusion(self.confusion, matrix)
        return curves, matrix


def evaluate(
    predictor: Predictor,
    images: Sequence[LabeledImage],
    labels: tuple[str, ...],
    progress: Progress | None = None,
    *,
    nms: Nms = EVALUATION_NMS,
    data: str = "",
    split: str = "",
) -> AccuracyReport:
    """Run a predictor over images and score its detections.

    Args:
        predictor: Predictor with the settings `nms`; a score threshold above 0.01 would lower AP.
        images: Images with `class_ids` that index `labels`; an unreadable file is skipped and reported.
        labels: Class names of the predictor.
        progress: Called after each image with (done, all).
        nms: Suppression settings of the predictor, for the record.
        data: Name of the dataset, for the record.
        split: Name of the split, for the record.

    Raises:
        DataError: No image can be read, or no image has a true box.
    """
    truth: list[LabeledImage] = []
    found: list[Detections] = []
    skipped: list[str] = []
    for index, labeled in enumerate(images):
        try:
            image = read_image(labeled.path)
        except DataError as error:
            skipped.append(error.paragraph())
        else:
            truth.append(labeled)
            found.append(predictor(image))
        if progress is not None:
            progress(index + 1, len(images))
    if not truth:
        raise DataError(
            "No image can be measured",
            expected="at least one image that can be read",
            found=skipped[0] if skipped else "an empty list",
        )
    return score(truth, found, labels, skipped=tuple(skipped), nms=nms, data=data, split=split)


def score(
    truth: Sequence[LabeledImage],
    found: Sequence[Detections],
    labels: tuple[str, ...],
    *,
    skipped: tuple[str, ...] = (),
    nms: Nms = EVALUATION_NMS,
    data: str = "",
    split: str = "",
) -> AccuracyReport:
    """Score given detections; the arguments are as in `evaluate`."""
    matches = match_detections(truth, found, labels)
    return AccuracyReport(
        metrics=coco_metrics(truth, found, labels),
        voc=voc_metrics(matches),
        matches=matches,
        confusion=confusion_matrix(truth, found, labels),
        images=len(truth),
        boxes=sum(item.boxes for item in matches),
        skipped=skipped,
        nms=nms,
        data=data,
        split=split,
    )
