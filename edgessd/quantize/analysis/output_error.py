"""Difference between a network's outputs and those of the float network, on the anchors that matter.

AP changes in jumps, and agreement AP by thousandths without a cause. The mean squared error on the anchors
that the float network scores at all is steady, and the errors of independent roundings add up in it.
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
"""Smallest score of an anchor's best class, by the float network, for which the anchor counts."""

Outputs = tuple[NDArray[Any], NDArray[Any]]
"""Raw box codes (1, N, 4) and class scores (1, N, C) of one image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputError:
    """Errors over the relevant anchors of all images.

    Attributes:
        score: Mean squared difference of scores in [0, 1].
        code: Mean squared difference of box codes.
        box: Mean of 1 - IoU.
        box_power: Mean of (1 - IoU)^2.
    """

    score: float
    code: float
    box: float
    box_power: float


def relevant_anchors(class_scores: NDArray[Any], contract: Contract) -> NDArray[np.bool_]:
    """Return a mask (N,) of the anchors that count, from raw scores (1, N, C) of the float network."""
    return np.asarray(_label_scores(class_scores[0], contract).max(axis=1) > RELEVANT)


def output_error(
    expected: Sequence[Outputs],
    found: Sequence[Outputs],
    relevant: Sequence[NDArray[np.bool_]],
    contract: Contract,
) -> OutputError:
    """Compare raw outputs with those of the float network.

    Args:
        expected: Outputs of the float network, one item an image.
        found: Outputs to judge.
        relevant: Masks (N,) of the anchors that count; at least one anchor in all.
        contract: Contract of both networks.
    """
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
    """Return scores (n, labels) in [0, 1] from raw scores (n, C)."""
    columns = activate_scores(raw, contract.scoring)
    return columns[:, 1:] if columns.shape[1] > len(contract.labels) else columns
