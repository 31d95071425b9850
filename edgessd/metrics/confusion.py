"""Confusion matrix: boxes found, missed, confused and wrongly found at one score threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgessd.core.boxes import iou_matrix
from edgessd.core.detections import Detections
from edgessd.core.files import replacing
from edgessd.metrics.ground_truth import TrueBoxes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More classes than this leave no room for numbers in the cells.
_MOST_WITH_NUMBERS = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfusionMatrix:
    """Counts of boxes by true class and found class.

    Attributes:
        labels: Names of the classes.
        counts: (classes + 1, classes + 1) int64; rows are true classes, columns found ones. The last
            column holds missed boxes, the last row detections without a true box.
        score_threshold: Detections scored at or below it weren't counted.
        iou_threshold: Least IoU at which a detection belongs to a true box of any class.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    score_threshold: float
    iou_threshold: float


def confusion_matrix(
    truth: Sequence[TrueBoxes],
    found: Sequence[Detections],
    labels: tuple[str, ...],
    *,
    score_threshold: float = 0.3,
    iou_threshold: float = 0.5,
) -> ConfusionMatrix:
    """Count detections by the class of the true box that they belong to.

    Detections, best first, each take the free true box that they overlap most. A detection that fits an
    ignored box and no free one isn't counted. Ignored boxes never count as missed.

    Args:
        truth: Ground truth, one item an image.
        found: Detections, one item an image, in the same order.
        labels: Names of the classes that `class_ids` of both index.
        score_threshold: Detections scored at or below it are left out.
        iou_threshold: Least IoU of a detection and its true box.
    """
    nothing = len(labels)
    counts = np.zeros((nothing + 1, nothing + 1), np.int64)
    for image, detections in zip(truth, found, strict=True):
        shown = detections[detections.scores > score_threshold]
        overlaps = iou_matrix(shown.boxes, image.boxes)
        overlaps[overlaps < iou_threshold] = 0
        near_ignored = np.flatnonzero(overlaps[:, image.ignore].any(axis=1)).tolist()
        overlaps[:, image.ignore] = 0
        free = ~image.ignore
        for row, class_id in enumerate(shown.class_ids):
            if overlaps[row].any():
                taken = int(overlaps[row].argmax())
                counts[image.class_ids[taken], class_id] += 1
                free[taken] = False
                overlaps[:, taken] = 0
            elif row not in near_ignored:
                counts[nothing, class_id] += 1
        np.add.at(counts[:, nothing], image.class_ids[free], 1)
    return ConfusionMatrix(
        labels=labels,
        counts=counts,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
    )


def plot_confusion(matrix: ConfusionMatrix, path: Path) -> None:
    """Write the matrix as a PNG heat map: shades are shares of each row, numbers are counts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(matrix.counts)
    rows = np.maximum(matrix.counts.sum(axis=1, keepdims=True), 1)
    shares = matrix.counts / rows
    side = min(3.6 + 0.3 * count, 14.0)
    figure = Figure(figsize=(side + 0.9, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 9 if count <= _MOST_WITH_NUMBERS else max(6, 9 * _MOST_WITH_NUMBERS / count)
    axes.set_xticks(range(count), [*matrix.labels, "missed"], rotation=90, fontsize=size)
    axes.set_yticks(range(count), [*matrix.labels, "nothing"], fontsize=size)
    axes.set_xlabel("found")
    axes.set_ylabel("true")
    axes.set_title(
        f"Boxes found at score > {matrix.score_threshold:g} and IoU ≥ {matrix.iou_threshold:g}",
        loc="left",
        fontsize=11,
    )
    # Lines set missed boxes and false alarms apart from confused classes.
    for draw in (axes.axhline, axes.axvline):
        draw(count - 1.5, color="#52606d", linewidth=0.8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if count <= _MOST_WITH_NUMBERS:
        _write_counts(axes, matrix.counts, shares)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30)
    bar.set_label("share of the row")
    bar.outline.set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _write_counts(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for row, column in np.argwhere(counts):
        axes.text(
            column,
            row,
            f"{counts[row, column]}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[row, column] > 0.55 else "#1f2933",
        )
