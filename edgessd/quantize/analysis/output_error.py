"""How far a network's answers are from a float network's, where it matters.

AP moves in jumps, and agreement AP by thousandths for nothing. Noise power on the anchors that the
float network thinks anything of is steady, and noises of independent roundings add up in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.core.anchors import anchor_boxes
from edgessd.core.boxes import iou_pairs
from edgessd.core.contract import Contract
from edgessd.core.decode import activate_scores, decode_boxes

RELEVANT = 0.05
"""Anchors whose best class the float network scores over this: the rest is background to everyone."""

Outputs = tuple[NDArray[Any], NDArray[Any]]
"""Raw box codes (1, N, 4) and class scores (1, N, C) of one image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputError:
    """Over the relevant anchors of all images.

    Attributes:
        score: Mean squared difference of scores in [0, 1].
        code: Mean squared difference of box codes.
        box: Mean of 1 - IoU.
        box_power: Mean of its square.
    """

    score: float
    code: float
    box: float
    box_power: float


def relevant_anchors(class_scores: NDArray[Any], contract: Contract) -> NDArray[np.bool_]:
    """(N,) which anchors of raw scores (1, N, C) matter."""
    return np.asarray(_label_scores(class_scores[0], contract).max(axis=1) > RELEVANT)


def output_error(
    expected: Sequence[Outputs],
    found: Sequence[Outputs],
    relevant: Sequence[NDArray[np.bool_]],
    contract: Contract,
) -> OutputError:
    """Of raw outputs against the float network's, one item an image; some anchor must be relevant."""
    anchors = anchor_boxes(contract.anchors)
    scores, codes, boxes = [], [], []
    for (first_codes, first_scores), (second_codes, second_scores), mask in zip(
        expected, found, relevant, strict=True
    ):
        pair = [
            _label_scores(values[0][mask], contract) for values in (first_scores, second_scores)
        ]
        scores.append(((pair[0] - pair[1]) ** 2).ravel())
        first, second = first_codes[0][mask], second_codes[0][mask]
        codes.append(((first - second) ** 2).ravel())
        decoded = [decode_boxes(code, anchors[mask], contract.box_code) for code in (first, second)]
        boxes.append(1 - iou_pairs(decoded[0], decoded[1]))
    lost = np.concatenate(boxes)
    return OutputError(
        score=float(np.concatenate(scores).mean()),
        code=float(np.concatenate(codes).mean()),
        box=float(lost.mean()),
        box_power=float((lost**2).mean()),
    )


def _label_scores(raw: NDArray[Any], contract: Contract) -> NDArray[np.float32]:
    """(n, labels) scores in [0, 1] of raw ones (n, C)."""
    columns = activate_scores(raw, contract.scoring)
    return columns[:, 1:] if columns.shape[1] > len(contract.labels) else columns
