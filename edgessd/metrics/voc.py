"""Compute AP50 by PASCAL VOC's rules: VOC07 with 11 points, VOC10 and later with the area."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from edgessd.core.errors import DataError
from edgessd.metrics.matching import ClassMatches


class VocMetrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AP50 by two rules: the mean over the classes with ground truth, and each class.

    Attributes:
        voc07_AP50: Mean of the precision at recall 0, .1, ... 1 (IJCV 2010, section 4.2).
        voc10_AP50: Area under the precision-recall curve (VOC2010 development kit, section 3.4.1).
        per_class: {label: {"voc07_AP50", "voc10_AP50"}}; None for a class without ground truth.
    """

    voc07_AP50: float
    voc10_AP50: float
    per_class: dict[str, dict[str, float | None]]


def voc_metrics(matches: Sequence[ClassMatches]) -> VocMetrics:
    """Compute both AP50 of matched detections from `match_detections`.

    Raises:
        DataError: No class has ground truth.
    """
    with_truth = [item for item in matches if item.boxes]
    if not with_truth:
        raise DataError(
            "AP isn't defined without ground truth",
            expected="at least one labeled box",
            fix="Choose a split that has labels",
        )
    return VocMetrics(
        voc07_AP50=float(np.mean([voc07_ap(item) for item in with_truth])),
        voc10_AP50=float(np.mean([voc10_ap(item) for item in with_truth])),
        per_class={
            item.label: {
                "voc07_AP50": voc07_ap(item) if item.boxes else None,
                "voc10_AP50": voc10_ap(item) if item.boxes else None,
            }
            for item in matches
        },
    )


def voc07_ap(matches: ClassMatches) -> float:
    """Compute the mean over recall 0, .1, ... 1 of the best precision at that recall or a higher one."""
    recall, precision = matches.recall_precision()
    # Recall is hits / boxes. Whole numbers are compared, since 3 / 10 may round to less than 0.3.
    hits = np.rint(recall * matches.boxes).astype(np.int64)
    points = [precision[hits * 10 >= tenth * matches.boxes] for tenth in range(11)]
    return float(np.mean([point.max() if len(point) else 0.0 for point in points]))


def voc10_ap(matches: ClassMatches) -> float:
    """Compute the area under the curve of precision made monotonic from the right."""
    recall, precision = matches.recall_precision()
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
