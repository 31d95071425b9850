"""Suppression through ONNX NonMaxSuppression, which TensorRT imports as INMSLayer.

Its output has as many rows as boxes survive, and TensorRT 8 fails on most operators behind such a shape
("ScatterND requires foreign node optimizations incompatible with data-dependent shapes"). So its rows
are followed by rows that point to an empty entry, and the first M are gathered: Concat and Gather alone
see the open shape, and everything behind has static ones.
"""

from __future__ import annotations

import numpy as np

from edgessd.lower.tensorrt.candidates import Candidates
from edgessd.lower.tensorrt.tail import Tail


def suppress_by_layer(tail: Tail, found: Candidates) -> tuple[str, str]:
    """Suppress within each label.

    Returns:
        Names of places (D,) int64 and scores (D,) float32, the best first: place label * count +
        candidate, or labels * count where the score is 0 and nothing is there.
    """
    labels, count = found.labels, found.count
    per_label = min(count, found.detections)
    # Each label is a batch item with one class: INMSLayer's limit is on the boxes of a batch item, of
    # all classes together, which 20 labels with 400 candidates would exceed.
    selected = tail.op(
        "NonMaxSuppression",
        [
            found.boxes,
            tail.reshape(found.scores, "candidate_scores", (labels, 1, count)),
            tail.constant("per_label", [per_label], np.int64),
            tail.constant("iou_threshold", [found.iou_threshold], np.float32),
            tail.constant("score_threshold", [found.score_threshold], np.float32),
        ],
        "selected",
    )  # (n, 3): label, 0, candidate
    total = max(labels * per_label, found.detections)
    empty = tail.constant("empty_rows", [(labels, 0, 0)] * total, np.int64)
    rows = tail.op("Concat", [selected, empty], "padded_rows", axis=0)
    first = tail.constant("first_rows", np.arange(total), np.int64)
    rows = tail.op("Gather", [rows, first], "rows", axis=0)  # (M, 3)
    strides = tail.constant("strides", (count, 0, 1), np.int64)
    rows = tail.op("Mul", [rows, strides], "strided")
    columns = tail.constant("columns", [1], np.int64)
    places = tail.op("ReduceSum", [rows, columns], "places", keepdims=0)
    flat = tail.reshape(found.scores, "flat_scores", (labels * count,))
    table = [flat, tail.constant("no_score", [0], np.float32)]
    scores = tail.op("Concat", table, "score_table", axis=0)
    scores = tail.op("Gather", [scores, places], "survivor_scores", axis=0)
    wanted = tail.constant("detections", [found.detections], np.int64)
    scores, order = tail.ops("TopK", [scores, wanted], ("found_scores", "order"), axis=0)
    return tail.op("Gather", [places, order], "found_places", axis=0), scores
