"""Suppression from plain operators with static shapes, for TensorRT-RTX, which has no INMSLayer.

Its builder parses NonMaxSuppression and then says that the layer "has no runners that implement it"
(https://github.com/NVIDIA/TensorRT-RTX/issues/5).

With candidates sorted by score, greedy suppression is the one set `keep` with

    keep_j  =  valid_j  and no i < j with keep_i and IoU(i, j) > threshold  =: F(keep)_j

F turns larger sets into smaller ones, so from keep = valid, which holds too many, F gives too few, F of
that too many again but less so, and both sides close in on the answer: after t rounds all boxes are
right that hang on chains of at most t suppressions, each undoing the next. `ROUNDS` is even, so in a
longer chain a box may stay that should have gone, and none is lost.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from edgessd.lower.tensorrt.candidates import Candidates
from edgessd.lower.tensorrt.tail import Tail

ROUNDS = 16
"""Real detections need 2 to 6."""


def suppress_by_operators(tail: Tail, found: Candidates) -> tuple[str, str]:
    """As `nms_layer.suppress_by_layer`, to the same result."""
    total = found.labels * found.count
    overlaps = _overlaps(tail, found)
    threshold = tail.constant("score_threshold", found.score_threshold, np.float32)
    valid = tail.op("Greater", [found.scores, threshold], "is_valid")
    valid = tail.op("Cast", [valid], "valid", to=TensorProto.FLOAT)
    valid = tail.reshape(valid, "valid_rows", (found.labels, 1, found.count))
    half = tail.constant("half", 0.5, np.float32)
    keep = valid
    for number in range(ROUNDS):
        hits = tail.op("MatMul", [keep, overlaps], f"hits.{number}")  # (L, 1, k)
        free = tail.op("Less", [hits, half], f"is_free.{number}")
        free = tail.op("Cast", [free], f"free.{number}", to=TensorProto.FLOAT)
        keep = tail.op("Mul", [valid, free], f"keep.{number}")
    keep = tail.reshape(keep, "kept", (total,))
    flat = tail.reshape(found.scores, "flat_scores", (total,))
    scores = tail.op("Mul", [flat, keep], "kept_scores")
    # Enough entries to take D from, of few labels and candidates too.
    padding = np.zeros(max(1, found.detections - total))
    table = [scores, tail.constant("no_scores", padding, np.float32)]
    scores = tail.op("Concat", table, "score_table", axis=0)
    wanted = tail.constant("detections", [found.detections], np.int64)
    scores, order = tail.ops("TopK", [scores, wanted], ("found_scores", "order"), axis=0)
    zero = tail.constant("zero", 0, np.float32)
    is_box = tail.op("Greater", [scores, zero], "is_box")
    nowhere = tail.constant("nowhere", total, np.int64)
    return tail.op("Where", [is_box, order, nowhere], "found_places"), scores


def _overlaps(tail: Tail, found: Candidates) -> str:
    """(L, k, k) float32: 1 where box i, the better one, suppresses box j."""
    ones = tail.constant("ones", (1, 1, 1, 1), np.int64)
    names = ("top", "left", "bottom", "right")
    top, left, bottom, right = tail.ops("Split", [found.boxes, ones], names, axis=2)  # (L, k, 1)
    height = tail.op("Sub", [bottom, top], "heights")
    area = tail.op("Mul", [height, tail.op("Sub", [right, left], "widths")], "areas")
    sides = [
        _shared_side(tail, top, bottom, "shared_height"),
        _shared_side(tail, left, right, "shared_width"),
    ]
    intersection = tail.op("Mul", sides, "intersections")
    union = tail.op("Add", [area, _across(tail, area)], "area_sums")
    union = tail.op("Sub", [union, intersection], "unions")
    threshold = tail.constant("iou_threshold", found.iou_threshold, np.float32)
    # As core.nms: without a division, so that two empty boxes don't suppress each other.
    allowed = tail.op("Mul", [union, threshold], "allowed")
    hits = tail.op("Greater", [intersection, allowed], "is_overlap")
    hits = tail.op("Cast", [hits], "overlap", to=TensorProto.FLOAT)
    better = np.triu(np.ones((found.count, found.count)), k=1)
    return tail.op("Mul", [hits, tail.constant("better", better, np.float32)], "overlaps")


def _shared_side(tail: Tail, low: str, high: str, name: str) -> str:
    """(L, k, k): how much of an axis each pair of boxes shares."""
    end = tail.op("Min", [high, _across(tail, high)], f"{name}.end")
    start = tail.op("Max", [low, _across(tail, low)], f"{name}.start")
    length = tail.op("Sub", [end, start], f"{name}.length")
    return tail.op("Relu", [length], name)


def _across(tail: Tail, column: str) -> str:
    """(L, k, 1) → (L, 1, k)."""
    name = column.rpartition(".")[2]
    return tail.op("Transpose", [column], f"{name}.across", perm=(0, 2, 1))
