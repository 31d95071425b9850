"""Raw outputs → the best candidates of each label, inside the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgessd.core.anchors import anchor_boxes
from edgessd.core.contract import Contract
from edgessd.core.decode import LARGEST_EXPONENT
from edgessd.core.errors import LoweringError
from edgessd.core.network_tensors import BOX_CODES, CLASS_SCORES
from edgessd.lower.tensorrt.tail import Tail

TOPK_LIMIT = 3840
"""The largest K of TensorRT's ITopKLayer."""

_YXHW = (1, 0, 3, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """The tensors that suppression starts from, and its settings.

    Attributes:
        boxes: Name of float32 (labels, count, 4): top, left, bottom, right in fractions of the input.
        scores: Name of float32 (labels, count): probabilities, the best first.
        labels: Number of labels.
        count: Anchors compared of each label.
        detections: Boxes that come out.
        iou_threshold, score_threshold: As in `core.contract.Nms`.
    """

    boxes: str
    scores: str
    labels: int
    count: int
    detections: int
    iou_threshold: float
    score_threshold: float


def best_candidates(tail: Tail, contract: Contract, *, limit: int) -> Candidates:
    """Decode every box, and take the best anchors of each label.

    Args:
        tail: To write to.
        contract: Anchors, box code, scoring and suppression.
        limit: Most boxes of a label that suppression can compare.

    Raises:
        LoweringError: More detections are wanted than TensorRT can sort.
    """
    nms, labels = contract.nms, len(contract.labels)
    if nms.max_detections > TOPK_LIMIT:
        raise LoweringError(
            "More detections are wanted than TensorRT can sort",
            expected=f"max_detections up to {TOPK_LIMIT}",
            found=str(nms.max_detections),
            fix="Build with --postprocess raw",
        )
    count = min(nms.max_candidates, limit, TOPK_LIMIT, contract.anchors.count)
    best = tail.constant("candidates", [count], np.int64)
    scores, anchor_ids = tail.ops(
        "TopK", [_activated(tail, contract), best], ("best_scores", "anchor_ids"), axis=1
    )
    return Candidates(
        boxes=tail.op("Gather", [_decoded(tail, contract), anchor_ids], "best_boxes", axis=0),
        scores=scores,
        labels=labels,
        count=count,
        detections=nms.max_detections,
        iou_threshold=nms.iou_threshold,
        score_threshold=nms.score_threshold,
    )


def _decoded(tail: Tail, contract: Contract) -> str:
    """Boxes (N, 4) as top, left, bottom, right; `core.decode.decode_boxes` as operators."""
    code = contract.box_code
    anchors = anchor_boxes(contract.anchors)[:, _YXHW].astype(np.float64)[None]
    order = tail.constant("yxhw", _YXHW, np.int64)
    codes = tail.op("Gather", [BOX_CODES, order], "codes", axis=2)
    halves = tail.constant("halves", (2, 2), np.int64)
    centres, sizes = tail.ops("Split", [codes, halves], ("centre_codes", "size_codes"), axis=2)
    steps = tail.constant("centre_steps", anchors[..., 2:] * code.centre_variance, np.float32)
    origins = tail.constant("anchor_centres", anchors[..., :2], np.float32)
    centres = tail.op("Mul", [centres, steps], "offsets")
    centres = tail.op("Add", [centres, origins], "centres")
    variance = tail.constant("size_variance", code.size_variance, np.float32)
    cap = tail.constant("largest_exponent", LARGEST_EXPONENT, np.float32)
    sizes = tail.op("Mul", [sizes, variance], "exponents")
    sizes = tail.op("Min", [sizes, cap], "capped")
    sizes = tail.op("Exp", [sizes], "growth")
    half_anchors = tail.constant("half_anchors", anchors[..., 2:] / 2, np.float32)
    sizes = tail.op("Mul", [sizes, half_anchors], "half_sizes")
    corners = [
        tail.op("Sub", [centres, sizes], "top_left"),
        tail.op("Add", [centres, sizes], "bottom_right"),
    ]
    boxes = tail.op("Concat", corners, "corners", axis=2)
    return tail.reshape(boxes, "boxes", (contract.anchors.count, 4))


def _activated(tail: Tail, contract: Contract) -> str:
    """Probabilities (L, N) of the labels, without the background."""
    if contract.scoring.activation == "sigmoid":
        scores = tail.op("Sigmoid", [CLASS_SCORES], "probabilities")
    else:
        scores = tail.op("Softmax", [CLASS_SCORES], "probabilities", axis=2)
    if contract.scoring.background:
        bounds = [
            tail.constant(f"labels.{name}", [value], np.int64)
            for name, value in (("start", 1), ("end", contract.columns), ("axis", 2))
        ]
        scores = tail.op("Slice", [scores, *bounds], "labelled")
    scores = tail.op("Transpose", [scores], "by_label", perm=(0, 2, 1))
    return tail.reshape(scores, "scores", (len(contract.labels), contract.anchors.count))
