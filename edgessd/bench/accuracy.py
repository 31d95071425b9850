"""Accuracy of anything that finds boxes in a frame: every AP of the project comes from here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

Image = NDArray[np.uint8]
Predictor = Callable[[Image], Detections]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class AccuracyReport:
    """How accurate a predictor is on a list of images.

    Attributes:
        metrics: COCO's numbers.
        voc: PASCAL VOC's.
        matches: Every detection at IoU 0.5 by class, for curves.
        confusion: Which class was taken for which.
        images: How many were measured.
        boxes: True boxes in them, ignored ones left out.
        skipped: Why an image couldn't be measured, one sentence an image.
        nms: Settings that the predictor ran with.
        data: Name of the dataset.
        split: Which of its splits.
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
        """Everything but the curves, as plain values; None where a number isn't defined."""
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
        """What an AP needs beside it to be read, as one sentence."""
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
    """Run a predictor over images and score what it finds.

    Args:
        predictor: Made with `nms`; a score threshold above 0.01 would cut AP short.
        images: With `class_ids` that index `labels`; a file that can't be read is skipped and named.
        labels: Of the predictor.
        progress: Called after each image with (done, all).
        nms: What the predictor runs with, for the record.
        data: Name of the dataset, for the record.
        split: Name of the split, for the record.

    Raises:
        DataError: If no image can be read, or there is no true box in any.
    """
    truth: list[LabeledImage] = []
    found: list[Detections] = []
    skipped: list[str] = []
    for index, labelled in enumerate(images):
        try:
            image = read_image(labelled.path)
        except DataError as error:
            skipped.append(error.paragraph())
        else:
            truth.append(labelled)
            found.append(predictor(image))
        if progress is not None:
            progress(index + 1, len(images))
    if not truth:
        raise DataError(
            "There is no image to measure",
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
    """The report for detections that are there already; arguments as in `evaluate`."""
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
