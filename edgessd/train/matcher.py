"""Assignment of boxes to anchors (section 2.2 of the SSD paper, "Matching strategy")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgessd.core.anchors import AnchorSpec, anchor_boxes
from edgessd.core.arrays import FloatArray
from edgessd.core.boxes import areas, cxcywh_to_xyxy, iou_matrix, xyxy_to_cxcywh
from edgessd.core.contract import BoxCode
from edgessd.core.decode import encode_boxes

NEGATIVE, IGNORED = -1, -2


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Training targets of all N anchors for one image.

    Attributes:
        class_ids: (N,) int64; index into the labels, `NEGATIVE` or `IGNORED`.
        box_codes: (N, 4) float32; zeros where `class_ids` is negative.
    """

    class_ids: NDArray[np.int64]
    box_codes: FloatArray


class Matcher:
    """Match the boxes of an image to a fixed set of anchors.

    Each box first takes the anchor with the largest IoU, however small it is. If two boxes have the
    same best anchor, the box with the larger IoU takes it and the other one takes its next best.
    Then every anchor with an IoU of at least `positive_iou` learns the box it overlaps best. Every
    other anchor is ignored if its IoU with an ignored box reaches `positive_iou`, or if half of its
    area lies in one.

    Args:
        anchors: The contract's anchors.
        box_code: Encoding of the box targets.
        positive_iou: Smallest IoU of a positive anchor.
    """

    def __init__(
        self, anchors: AnchorSpec, box_code: BoxCode, *, positive_iou: float = 0.5
    ) -> None:
        self._anchors = anchor_boxes(anchors)
        self._anchors_xyxy = cxcywh_to_xyxy(self._anchors)
        self._anchor_areas = areas(self._anchors_xyxy)
        self._box_code = box_code
        self._positive_iou = positive_iou

    def __call__(
        self, boxes: FloatArray, class_ids: NDArray[np.int64], ignore: NDArray[np.bool_]
    ) -> Match:
        """Match the boxes of one image.

        Args:
            boxes: (n, 4) xyxy in fractions of the input.
            class_ids: (n,) label indices.
            ignore: (n,) flags of boxes that are neither learned nor background.
        """
        count = len(self._anchors)
        matched = np.full(count, NEGATIVE, np.int64)
        codes = np.zeros((count, 4), np.float32)
        if ignore.any():
            matched[self._touching(boxes[ignore])] = IGNORED
        learned, labels = boxes[~ignore], class_ids[~ignore]
        if len(learned):
            overlap = iou_matrix(learned, self._anchors_xyxy)
            box_of_anchor = overlap.argmax(axis=0)
            positive = overlap.max(axis=0) >= self._positive_iou
            for box, anchor in _best_pairs(overlap):
                box_of_anchor[anchor], positive[anchor] = box, True
            chosen = box_of_anchor[positive]
            matched[positive] = labels[chosen]
            codes[positive] = encode_boxes(
                xyxy_to_cxcywh(learned[chosen]), self._anchors[positive], self._box_code
            )
        return Match(class_ids=matched, box_codes=codes)

    def _touching(self, boxes: FloatArray) -> NDArray[np.bool_]:
        top_left = np.maximum(boxes[:, None, :2], self._anchors_xyxy[None, :, :2])
        bottom_right = np.minimum(boxes[:, None, 2:], self._anchors_xyxy[None, :, 2:])
        sides = np.maximum(bottom_right - top_left, 0)
        inside = sides[..., 0] * sides[..., 1] / self._anchor_areas
        overlap = iou_matrix(boxes, self._anchors_xyxy)
        touching: NDArray[np.bool_] = ((inside >= 0.5) | (overlap >= self._positive_iou)).any(
            axis=0
        )
        return touching


def _best_pairs(overlap: FloatArray) -> list[tuple[int, int]]:
    """Give each box an anchor of its own, largest IoU first: (n, N) IoU → [(box, anchor)]."""
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    best = overlap.max(axis=1)
    for box in np.argsort(-best, kind="stable"):
        row = overlap[box]
        anchor = int(row.argmax())
        if anchor in taken:
            row = row.copy()
            row[list(taken)] = -1
            anchor = int(row.argmax())
        taken.add(anchor)
        pairs.append((int(box), anchor))
    return pairs
