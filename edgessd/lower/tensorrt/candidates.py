"""Append operators that decode the boxes and choose the best candidates of each label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgessd.core.anchors import anchor_boxes
from edgessd.core.contract import Contract
from edgessd.core.decode import LARGEST_EXPONENT
from edgessd.core.errors import LoweringError
from edgessd.core.network_tensors import BOX_CODES, CLASS_SCORES
from edgessd.lower.tensorrt.op_writer import OpWriter

TOPK_LIMIT = 3840
"""Largest K of TensorRT's ITopKLayer."""

_YXHW = (1, 0, 3, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """Input tensors and settings of suppression.

    Attributes:
        boxes: Name of float32 (labels, count, 4): top, left, bottom, right in fractions of the input.
        scores: Name of float32 (labels, count): probabilities in [0, 1], in descending order.
        labels: Number of labels.
        count: Number of anchors compared per label.
        detections: Number of boxes in the output.
        iou_threshold, score_threshold: As in `core.contract.Nms`.
    """

    boxes: str
    scores: str
    labels: int
    count: int
    detections: int
    iou_threshold: float
    score_threshold: float


def best_candidates(writer: OpWriter, contract: Contract, *, limit: int) -> Candidates:
    """Decode every box, and choose the best anchors of each label.

    Args:
        writer: Writer of the operators.
        contract: Anchors, box code, scoring and suppression.
        limit: Largest number of boxes per label that suppression can compare.

    Raises:
        LoweringError: The contract has more detections than TensorRT can sort.
    """
    nms, labels = contract.nms, len(contract.labels)
    if nms.max_detections > TOPK_LIMIT:
        raise LoweringError(
            "The contract has more detections than TensorRT can sort",
            expected=f"max_detections up to {TOPK_LIMIT}",
            found=str(nms.max_detections),
            fix="Build with --postprocess raw",
        )
    count = min(nms.max_candidates, limit, TOPK_LIMIT, contract.anchors.count)
    best = writer.constant("candidates", [count], np.int64)
    scores, anchor_ids = writer.ops(
        "TopK", [_activated(writer, contract), best], ("best_scores", "anchor_ids"), axis=1
    )
    return Candidates(
        boxes=writer.op("Gather", [_decoded(writer, contract), anchor_ids], "best_boxes", axis=0),
        scores=scores,
        labels=labels,
        count=count,
        detections=nms.max_detections,
        iou_threshold=nms.iou_threshold,
        score_threshold=nms.score_threshold,
    )


def _decoded(writer: OpWriter, contract: Contract) -> str:
    """Write `core.decode.decode_boxes` as operators: boxes (N, 4) as top, left, bottom, right."""
    code = contract.box_code
    anchors = anchor_boxes(contract.anchors)[:, _YXHW].astype(np.float64)[None]
    order = writer.constant("yxhw", _YXHW, np.int64)
    codes = writer.op("Gather", [BOX_CODES, order], "codes", axis=2)
    halves = writer.constant("halves", (2, 2), np.int64)
    centers, sizes = writer.ops("Split", [codes, halves], ("center_codes", "size_codes"), axis=2)
    steps = writer.constant("centre_steps", anchors[..., 2:] * code.centre_variance, np.float32)
    origins = writer.constant("anchor_centers", anchors[..., :2], np.float32)
    centers = writer.op("Mul", [centers, steps], "offsets")
    centers = writer.op("Add", [centers, origins], "centers")
    variance = writer.constant("size_variance", code.size_variance, np.float32)
    cap = writer.constant("largest_exponent", LARGEST_EXPONENT, np.float32)
    sizes = writer.op("Mul", [sizes, variance], "exponents")
    sizes = writer.op("Min", [sizes, cap], "capped")
    sizes = writer.op("Exp", [sizes], "growth")
    half_anchors = writer.constant("half_anchors", anchors[..., 2:] / 2, np.float32)
    sizes = writer.op("Mul", [sizes, half_anchors], "half_sizes")
    corners = [
        writer.op("Sub", [centers, sizes], "top_left"),
        writer.op("Add", [centers, sizes], "bottom_right"),
    ]
    boxes = writer.op("Concat", corners, "corners", axis=2)
    return writer.reshape(boxes, "boxes", (contract.anchors.count, 4))


def _activated(writer: OpWriter, contract: Contract) -> str:
    """Write the activation: probabilities (L, N) of the labels, without the background."""
    if contract.scoring.activation == "sigmoid":
        scores = writer.op("Sigmoid", [CLASS_SCORES], "probabilities")
    else:
        scores = writer.op("Softmax", [CLASS_SCORES], "probabilities", axis=2)
    if contract.scoring.background:
        bounds = [
            writer.constant(f"labels.{name}", [value], np.int64)
            for name, value in (("start", 1), ("end", contract.columns), ("axis", 2))
        ]
        scores = writer.op("Slice", [scores, *bounds], "labeled")
    scores = writer.op("Transpose", [scores], "by_label", perm=(0, 2, 1))
    return writer.reshape(scores, "scores", (len(contract.labels), contract.anchors.count))
