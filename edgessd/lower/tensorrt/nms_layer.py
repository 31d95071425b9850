"""Suppress by ONNX's NonMaxSuppression, which TensorRT imports as INMSLayer.

Its output has one row for each box that survives, and TensorRT 8 fails on most operators behind such a
shape ("ScatterND requires foreign node optimizations incompatible with data-dependent shapes"). So rows that
point to an empty entry are appended, and the first M rows are gathered. Only Concat and Gather then have a
tensor of unknown shape.
"""

from __future__ import annotations

import numpy as np

from edgessd.lower.tensorrt.candidates import Candidates
from edgessd.lower.tensorrt.op_writer import OpWriter


def suppress_by_layer(writer: OpWriter, found: Candidates) -> tuple[str, str]:
    """Append suppression within each label.

    Returns:
        Names of places (D,) int64 and scores (D,) float32, in descending order of score. A place is
        label * count + candidate; an empty row has place labels * count and score 0.
    """
    labels, count = found.labels, found.count
    per_label = min(count, found.detections)
    # Each label is a batch item with one class: INMSLayer's limit is on the boxes of a batch item, of
    # all classes together, which 20 labels with 400 candidates would exceed.
    selected = writer.op(
        "NonMaxSuppression",
        [
            found.boxes,
            writer.reshape(found.scores, "candidate_scores", (labels, 1, count)),
            writer.constant("per_label", [per_label], np.int64),
            writer.constant("iou_threshold", [found.iou_threshold], np.float32),
            writer.constant("score_threshold", [found.score_threshold], np.float32),
        ],
        "selected",
    )  # (n, 3): label, 0, candidate
    total = max(labels * per_label, found.detections)
    empty = writer.constant("empty_rows", [(labels, 0, 0)] * total, np.int64)
    rows = writer.op("Concat", [selected, empty], "padded_rows", axis=0)
    first = writer.constant("first_rows", np.arange(total), np.int64)
    rows = writer.op("Gather", [rows, first], "rows", axis=0)  # (M, 3)
    strides = writer.constant("strides", (count, 0, 1), np.int64)
    rows = writer.op("Mul", [rows, strides], "strided")
    columns = writer.constant("columns", [1], np.int64)
    places = writer.op("ReduceSum", [rows, columns], "places", keepdims=0)
    flat = writer.reshape(found.scores, "flat_scores", (labels * count,))
    table = [flat, writer.constant("no_score", [0], np.float32)]
    scores = writer.op("Concat", table, "score_table", axis=0)
    scores = writer.op("Gather", [scores, places], "survivor_scores", axis=0)
    wanted = writer.constant("detections", [found.detections], np.int64)
    scores, order = writer.ops("TopK", [scores, wanted], ("found_scores", "order"), axis=0)
    return writer.op("Gather", [places, order], "found_places", axis=0), scores
