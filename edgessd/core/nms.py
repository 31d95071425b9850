"""Greedy non-maximum suppression, deterministic: of equal scores the lower index comes first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgessd.core.boxes import FloatArray, iou_matrix
from edgessd.core.contract import Nms

Indices = NDArray[np.int64]

# Up to this many candidates one matrix over all classes is faster than one a class; above it, its
# quadratic cost isn't.
_ONE_MATRIX = 192


def nms(boxes: FloatArray, scores: FloatArray, *, iou_threshold: float) -> Indices:
    """Keep the best box and drop what overlaps it too much; repeat with what is left.

    Args:
        boxes: (n, 4) xyxy in any unit.
        scores: (n,).
        iou_threshold: A box whose IoU with a kept one is greater is dropped.

    Returns:
        (k,) int64 indices of the kept boxes, best score first.
    """
    order = _best_first(scores)
    overlapping = _overlaps(boxes[order], iou_threshold)
    kept: Indices = order[_keep(overlapping)]
    return kept


def nms_per_class(boxes: FloatArray, scores: FloatArray, class_ids: Indices, nms: Nms) -> Indices:
    """`nms` within each class, with the limits of `nms`.

    Args:
        boxes: (n, 4) xyxy in any unit.
        scores: (n,), already over the threshold.
        class_ids: (n,); boxes of different classes never suppress each other.
        nms: `max_candidates` per class enter, `max_detections` of all classes come out.

    Returns:
        (k,) int64 indices of the kept boxes, best score first over all classes.
    """
    order = _best_first(scores)
    classes = class_ids[order]
    if len(order) <= min(_ONE_MATRIX, nms.max_candidates):
        overlapping = _overlaps(boxes[order], nms.iou_threshold)
        overlapping &= classes[:, None] == classes[None, :]
        kept: Indices = order[_keep(overlapping)]
    else:
        kept_ranks = []
        for class_id in np.unique(classes):
            ranks = np.flatnonzero(classes == class_id)[: nms.max_candidates]
            overlapping = _overlaps(boxes[order[ranks]], nms.iou_threshold)
            kept_ranks.append(ranks[_keep(overlapping)])
        kept = order[np.sort(np.concatenate(kept_ranks))]
    return kept[: nms.max_detections]


def _best_first(scores: FloatArray) -> Indices:
    order: Indices = np.argsort(-scores, kind="stable")
    return order


def _overlaps(boxes: FloatArray, iou_threshold: float) -> NDArray[np.bool_]:
    overlapping: NDArray[np.bool_] = iou_matrix(boxes, boxes) > iou_threshold
    return overlapping


def _keep(overlapping: NDArray[np.bool_]) -> Indices:
    """Ranks that survive, given which of the ranks, best first, overlap each other."""
    alive = np.ones(len(overlapping), bool)
    kept = []
    rank = 0
    while rank < len(alive):
        kept.append(rank)
        alive &= ~overlapping[rank]
        alive[rank] = False  # an empty box doesn't even overlap itself
        step = int(alive[rank:].argmax())
        if not alive[rank + step]:
            break
        rank += step
    return np.array(kept, np.int64)
