"""Suppress by plain operators with static shapes, for TensorRT-RTX, which has no INMSLayer.

Its builder parses NonMaxSuppression and then reports that the layer "has no runners that implement it"
(https://github.com/NVIDIA/TensorRT-RTX/issues/5).

With candidates sorted by score, greedy suppression is the one set `keep` with

    keep_j  =  valid_j  and no i < j with keep_i and IoU(i, j) > threshold  =: F(keep)_j

F maps larger sets to smaller ones. keep = valid has too many boxes, so F(valid) has too few, F(F(valid))
too many again but fewer than before, and so on: the two sequences converge to the answer. After t rounds,
each box is right whose answer depends on a chain of at most t suppressions, in which each box suppresses
the next. `ROUNDS` is even, so a longer chain can keep a box too many and never loses one.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from edgessd.lower.tensorrt.candidates import Candidates
from edgessd.lower.tensorrt.op_writer import OpWriter

ROUNDS = 16
"""Number of applications of F; real detections need 2 to 6."""


def suppress_by_operators(writer: OpWriter, found: Candidates) -> tuple[str, str]:
    """Append suppression with the result of `nms_layer.suppress_by_layer`."""
    total = found.labels * found.count
    overlaps = _overlaps(writer, found)
    threshold = writer.constant("score_threshold", found.score_threshold, np.float32)
    valid = writer.op("Greater", [found.scores, threshold], "is_valid")
    valid = writer.op("Cast", [valid], "valid", to=TensorProto.FLOAT)
    valid = writer.reshape(valid, "valid_rows", (found.labels, 1, found.count))
    half = writer.constant("half", 0.5, np.float32)
    keep = valid
    for number in range(ROUNDS):
        hits = writer.op("MatMul", [keep, overlaps], f"hits.{number}")  # (L, 1, k)
        free = writer.op("Less", [hits, half], f"is_free.{number}")
        free = writer.op("Cast", [free], f"free.{number}", to=TensorProto.FLOAT)
        keep = writer.op("Mul", [valid, free], f"keep.{number}")
    keep = writer.reshape(keep, "kept", (total,))
    flat = writer.reshape(found.scores, "flat_scores", (total,))
    scores = writer.op("Mul", [flat, keep], "kept_scores")
    # Enough entries to take D from, of few labels and candidates too.
    padding = np.zeros(max(1, found.detections - total))
    table = [scores, writer.constant("no_scores", padding, np.float32)]
    scores = writer.op("Concat", table, "score_table", axis=0)
    wanted = writer.constant("detections", [found.detections], np.int64)
    scores, order = writer.ops("TopK", [scores, wanted], ("found_scores", "order"), axis=0)
    zero = writer.constant("zero", 0, np.float32)
    is_box = writer.op("Greater", [scores, zero], "is_box")
    nowhere = writer.constant("nowhere", total, np.int64)
    return writer.op("Where", [is_box, order, nowhere], "found_places"), scores


def _overlaps(writer: OpWriter, found: Candidates) -> str:
    """Write (L, k, k) float32: 1 if box i has the better score and suppresses box j, else 0."""
    ones = writer.constant("ones", (1, 1, 1, 1), np.int64)
    names = ("top", "left", "bottom", "right")
    top, left, bottom, right = writer.ops("Split", [found.boxes, ones], names, axis=2)  # (L, k, 1)
    height = writer.op("Sub", [bottom, top], "heights")
    area = writer.op("Mul", [height, writer.op("Sub", [right, left], "widths")], "areas")
    sides = [
        _shared_side(writer, top, bottom, "shared_height"),
        _shared_side(writer, left, right, "shared_width"),
    ]
    intersection = writer.op("Mul", sides, "intersections")
    union = writer.op("Add", [area, _across(writer, area)], "area_sums")
    union = writer.op("Sub", [union, intersection], "unions")
    threshold = writer.constant("iou_threshold", found.iou_threshold, np.float32)
    # As core.nms: without a division, so that two empty boxes don't suppress each other.
    allowed = writer.op("Mul", [union, threshold], "allowed")
    hits = writer.op("Greater", [intersection, allowed], "is_overlap")
    hits = writer.op("Cast", [hits], "overlap", to=TensorProto.FLOAT)
    better = np.triu(np.ones((found.count, found.count)), k=1)
    return writer.op("Mul", [hits, writer.constant("better", better, np.float32)], "overlaps")


def _shared_side(writer: OpWriter, low: str, high: str, name: str) -> str:
    """Write (L, k, k): the length that each pair of boxes shares along an axis."""
    end = writer.op("Min", [high, _across(writer, high)], f"{name}.end")
    start = writer.op("Max", [low, _across(writer, low)], f"{name}.start")
    length = writer.op("Sub", [end, start], f"{name}.length")
    return writer.op("Relu", [length], name)


def _across(writer: OpWriter, column: str) -> str:
    """Transpose (L, k, 1) to (L, 1, k)."""
    name = column.rpartition(".")[2]
    return writer.op("Transpose", [column], f"{name}.across", perm=(0, 2, 1))
