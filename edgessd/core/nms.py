"""Greedy non-maximum suppression. It is deterministic: equal scores are ordered by index."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray
from edgessd.core.boxes import areas
from edgessd.core.contract import Nms

Indices = NDArray[np.int64]

# Pairs of boxes compared at once: some megabytes, and few enough that boxes suppressed in one block save
# most of the work in the next blocks.
_MOST_PAIRS = 100_000


def nms(boxes: FloatArray, scores: FloatArray, *, iou_threshold: float) -> Indices:
    """Keep the best box and drop boxes that overlap it too much; repeat with the rest.

    Args:
        boxes: (n, 4) xyxy in any unit.
        scores: (n,).
        iou_threshold: A box whose IoU with a kept one is greater is dropped.

    Returns:
        (k,) int64 indices of the kept boxes, best score first.
    """
    order = _best_first(scores)
    one_group = np.array([len(order)], np.int64)
    kept: Indices = order[_suppress(boxes.take(order, axis=0), one_group, iou_threshold)]
    return kept


def nms_per_class(boxes: FloatArray, scores: FloatArray, class_ids: Indices, nms: Nms) -> Indices:
    """Suppress boxes within each class, with the limits of `nms`.

    Args:
        boxes: (n, 4) xyxy in any unit.
        scores: (n,), already over the threshold.
        class_ids: (n,); boxes of different classes never suppress each other.
        nms: Settings; `max_candidates` per class enter, `max_detections` of all classes are returned.

    Returns:
        (k,) int64 indices of the kept boxes, best score first over all classes.
    """
    order = _best_first(scores)
    ranks = np.argsort(class_ids[order], kind="stable")  # by class, in each the best first
    ends = _group_ends(class_ids[order[ranks]])
    if len(ranks) > nms.max_candidates:
        starts = np.append(0, ends[:-1])
        place_in_class = np.arange(len(ranks)) - np.repeat(starts, ends - starts)
        ranks = ranks[place_in_class < nms.max_candidates]
        ends = np.cumsum(np.minimum(ends - starts, nms.max_candidates))
    kept_ranks = ranks[_suppress(boxes.take(order[ranks], axis=0), ends, nms.iou_threshold)]
    kept_ranks.sort()
    kept: Indices = order[kept_ranks[: nms.max_detections]]
    return kept


def _best_first(scores: FloatArray) -> Indices:
    order: Indices = np.argsort(-scores, kind="stable")
    return order


def _group_ends(values: Indices) -> Indices:
    """Return the end index of each run of equal values, (0,) for no values."""
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    ends: Indices = np.append(changes, len(values)) if len(values) else changes
    return ends


def _suppress(boxes: FloatArray, ends: Indices, iou_threshold: float) -> Indices:
    """Return the indices that survive; boxes are ordered by group, in each group the best first.

    Args:
        boxes: (n, 4).
        ends: End index of each group; boxes of different groups never suppress each other.
        iou_threshold: Limit as in `nms`.
    """
    alive = [True] * len(boxes)
    corners = np.ascontiguousarray(boxes.T)
    area = areas(boxes)
    for first, second in _pairs(ends, alive):
        a, b = corners.take(first, axis=1), corners.take(second, axis=1)
        sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
        intersection = sides[0] * sides[1]
        union = area.take(first) + area.take(second) - intersection
        # IoU > threshold without a division, so two empty boxes don't suppress each other.
        hits = np.flatnonzero(intersection > iou_threshold * union)
        # Pairs are ordered by their first box, so every box that could suppress it was handled before.
        for better, worse in zip(first[hits].tolist(), second[hits].tolist(), strict=True):
            if alive[better]:
                alive[worse] = False
    return np.flatnonzero(alive)


def _pairs(ends: Indices, alive: list[bool]) -> Iterator[tuple[Indices, Indices]]:
    """Yield every pair (i < j) within a group, ordered by i, in blocks of about `_MOST_PAIRS`.

    A box that was suppressed before its block is left out as i.
    """
    if not len(ends) or not ends[-1]:
        return
    sizes = ends.copy()
    sizes[1:] -= ends[:-1]
    partners = np.repeat(ends - 1, sizes) - np.arange(
        ends[-1]
    )  # number of later boxes in the same group
    totals = np.cumsum(partners)
    if totals[-1] <= _MOST_PAIRS:
        yield _pairs_of(np.arange(len(partners)), partners, totals)
        return
    start = done = 0
    while start < len(partners):
        stop = max(start + 1, int(np.searchsorted(totals, done + _MOST_PAIRS, side="right")))
        boxes = np.arange(start, stop)[alive[start:stop]]
        counts = partners[boxes]
        yield _pairs_of(boxes, counts, np.cumsum(counts))
        start, done = stop, int(totals[stop - 1])


def _pairs_of(boxes: Indices, counts: Indices, totals: Indices) -> tuple[Indices, Indices]:
    """Pair each of `boxes` with its next `counts` boxes; `totals` is the running sum of `counts`."""
    first = np.repeat(boxes, counts)
    # Within a box's run of pairs, the second index counts up from the box's own.
    shift = totals - counts - boxes - 1
    return first, np.arange(len(first)) - np.repeat(shift, counts)
