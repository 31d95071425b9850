"""Compare the detections of two forms of a detector box by box.

AP is one number for a data set. Drift follows each detection: if the other form finds it, how well the two
boxes overlap, and how far the score moved. It needs no labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgessd.core.arrays import FloatArray
from edgessd.core.boxes import iou_matrix
from edgessd.core.detections import Detections
from edgessd.metrics.parity import REFERENCE_SCORE, relabeled

SAME_OBJECT = 0.5
"""Least IoU at which two boxes of a class count as the same detection."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageDrift:
    """Differences between two models' detections in one image.

    Attributes:
        overlaps: (matched,) IoU of each matched pair.
        score_shifts: (matched,) score found minus score of the reference.
        lost: (n,) scores of the reference's detections over the threshold that the other model lacks.
        added: (n,) scores of detections over the threshold that the reference lacks at any score.
    """

    overlaps: FloatArray
    score_shifts: FloatArray
    lost: FloatArray
    added: FloatArray

    @property
    def disagreement(self) -> float:
        """Sum of score shifts, of 1 - IoU, and of the scores of boxes that one model lacks; 0 if equal."""
        moved = np.abs(self.score_shifts).sum() + (1 - self.overlaps).sum()
        return float(moved + self.lost.sum() + self.added.sum())


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """Differences between two models' detections in all images.

    Attributes:
        matched, lost, added: Numbers of detections, as in `ImageDrift`.
        mean_iou, worst_iou: IoU of matched pairs; None without pairs.
        mean_score_shift: Signed mean, which shows a common rise or fall; None without pairs.
        mean_score_drift, worst_score_drift: Absolute score shifts; None without pairs.
    """

    matched: int
    lost: int
    added: int
    mean_iou: float | None
    worst_iou: float | None
    mean_score_shift: float | None
    mean_score_drift: float | None
    worst_score_drift: float | None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def image_drift(
    reference: Detections, found: Detections, *, over: float = REFERENCE_SCORE
) -> ImageDrift:
    """Match one image's detections of two models, best of the reference first.

    Both should come from `EVALUATION_NMS`, so that a detection that fell below `over` can still be matched.
    The boxes of a pair have the same class and an IoU of at least `SAME_OBJECT`; at least one of them is
    scored over `over`.

    Raises:
        ConfigError: The two models have different classes.
    """
    found = relabeled(found, reference.labels)
    overlaps = iou_matrix(reference.boxes, found.boxes)
    overlaps[reference.class_ids[:, None] != found.class_ids[None, :]] = -1
    sure = np.flatnonzero(reference.scores > over)
    pairs: list[tuple[int, int, float]] = []
    best_first = sure[np.argsort(-reference.scores[sure], kind="stable")]
    lost = [row for row in best_first if not _claim(overlaps, row, _best(overlaps[row]), pairs)]
    claimed = {column for _, column, _ in pairs}
    added = []
    # A score that rose over the threshold has its box in the reference, too, below the threshold.
    for column in np.flatnonzero(found.scores > over):
        if column in claimed:
            continue
        row = _best(overlaps[:, column])
        if not _claim(overlaps, row, int(column), pairs):
            added.append(column)
    rows, columns = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return ImageDrift(
        overlaps=np.array([pair[2] for pair in pairs], np.float32),
        score_shifts=found.scores[columns] - reference.scores[rows],
        lost=reference.scores[lost],
        added=found.scores[added],
    )


def _best(overlaps: FloatArray) -> int:
    return int(overlaps.argmax()) if overlaps.size else 0


def _claim(
    overlaps: FloatArray, row: int, column: int, pairs: list[tuple[int, int, float]]
) -> bool:
    """Record two boxes as a pair if they overlap enough, and take both out of the matrix."""
    if not overlaps.size or overlaps[row, column] < SAME_OBJECT:
        return False
    pairs.append((int(row), column, float(overlaps[row, column])))
    overlaps[row, :] = -1
    overlaps[:, column] = -1
    return True


def summarize_drift(images: Sequence[ImageDrift]) -> Drift:
    """Sum up the differences over all images."""
    empty = np.zeros(0, np.float32)
    overlaps = np.concatenate([empty, *(image.overlaps for image in images)])
    shifts = np.concatenate([empty, *(image.score_shifts for image in images)])
    some = len(overlaps) > 0
    return Drift(
        matched=len(overlaps),
        lost=sum(len(image.lost) for image in images),
        added=sum(len(image.added) for image in images),
        mean_iou=float(overlaps.mean()) if some else None,
        worst_iou=float(overlaps.min()) if some else None,
        mean_score_shift=float(shifts.mean()) if some else None,
        mean_score_drift=float(np.abs(shifts).mean()) if some else None,
        worst_score_drift=float(np.abs(shifts).max()) if some else None,
    )
