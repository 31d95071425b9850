"""The confusion matrix: each cell, and the heat map."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from detection_rows import found

from edgessd.metrics.confusion import ConfusionMatrix, confusion_matrix, plot_confusion

LABELS = ("a", "b")


def test_hits_mixups_misses_and_false_alarms(truth_of) -> None:
    truth = [
        truth_of([0, 0, 10, 10, 0], [20, 0, 30, 10, 0], [40, 0, 50, 10, 1]),
        truth_of([0, 0, 10, 10, 1]),
    ]
    detections = [
        found([0, 0, 10, 10, 0, 0.9], [20, 0, 30, 10, 1, 0.8], [70, 0, 80, 10, 1, 0.7]),
        found([0, 0, 10, 10, 1, 0.2]),  # not over the threshold
    ]
    matrix = confusion_matrix(truth, detections, LABELS)
    #                           found a, b, missed
    assert matrix.counts.tolist() == [[1, 1, 0], [0, 0, 2], [0, 1, 0]]


def test_the_best_score_takes_the_box(truth_of) -> None:
    """Suppression works within a class, so two classes may claim one object."""
    truth = [truth_of([0, 0, 10, 10, 0])]
    matrix = confusion_matrix(truth, [found([0, 0, 10, 9, 0, 0.9], [0, 0, 10, 10, 1, 0.8])], LABELS)
    assert matrix.counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_ignored_boxes_are_not_counted(truth_of) -> None:
    truth = [truth_of([0, 0, 10, 10, 0], [20, 0, 30, 10, 1], ignore=(0, 1))]
    matrix = confusion_matrix(truth, [found([0, 0, 10, 10, 0, 0.9])], LABELS)
    assert not matrix.counts.any()


def test_no_boxes_and_no_detections_give_zero_counts(truth_of) -> None:
    matrix = confusion_matrix([truth_of(), truth_of()], [found(), found()], LABELS)
    assert not matrix.counts.any()


def test_the_heat_map_is_darkest_where_the_counts_are(tmp_path: Path) -> None:
    counts = np.array([[90, 0, 0], [0, 50, 0], [0, 0, 0]])
    matrix = ConfusionMatrix(labels=LABELS, counts=counts, score_threshold=0.3, iou_threshold=0.5)
    plot_confusion(matrix, tmp_path / "confusion.png")
    image = cv2.imread(str(tmp_path / "confusion.png"))
    dark_blue = (image[..., 0] > 80) & (image[..., 2] < 40)
    rows, columns = np.nonzero(dark_blue)
    # Two cells on the diagonal and the color bar's end; far fewer dark pixels than one row's worth.
    assert dark_blue.mean() > 0.04
    assert columns.min() < image.shape[1] / 2 < columns.max()
    assert rows.min() < image.shape[0] / 2


def test_many_classes_fit_into_the_heat_map(tmp_path: Path) -> None:
    labels = tuple(f"class {index}" for index in range(80))
    matrix = ConfusionMatrix(
        labels=labels, counts=np.eye(81, dtype=np.int64), score_threshold=0.3, iou_threshold=0.5
    )
    plot_confusion(matrix, tmp_path / "confusion.png")
    assert max(cv2.imread(str(tmp_path / "confusion.png")).shape) < 2200
