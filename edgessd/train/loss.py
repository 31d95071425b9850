"""The multibox loss (section 2.2 of the SSD paper, equations 1 to 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from edgessd.core.contract import Scoring
from edgessd.core.errors import ConfigError
from edgessd.train.config import LossSettings
from edgessd.train.matcher import IGNORED, NEGATIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class Losses:
    """Losses of a batch: scalars, each divided by the number of positive anchors.

    Attributes:
        classes: Loss of the class scores.
        boxes: Loss of the box codes, without its weight.
        total: Sum that is minimized.
        positives: Number of positive anchors in the batch.
    """

    classes: Tensor
    boxes: Tensor
    total: Tensor
    positives: int


class MultiboxLoss:
    """Class loss over mined anchors, and smooth L1 loss over positive anchors.

    Args:
        scoring: The contract's scoring; softmax takes cross-entropy, sigmoid takes focal loss.
        settings: Weights and mining.

    Raises:
        ConfigError: Softmax scores without a background column.
    """

    def __init__(self, scoring: Scoring, settings: LossSettings) -> None:
        if scoring.activation == "softmax" and not scoring.background:
            raise ConfigError(
                "A detector with softmax scores and no background column can't be trained",
                expected="a background column, or sigmoid scores",
                fix="Train a new detector: --weights imagenet",
            )
        self._scoring = scoring
        self._settings = settings

    def __call__(
        self, box_codes: Tensor, class_scores: Tensor, class_ids: Tensor, codes: Tensor
    ) -> Losses:
        """Compare raw outputs with the anchors' targets.

        Args:
            box_codes: (B, N, 4) raw output.
            class_scores: (B, N, C) raw output.
            class_ids: (B, N) int64 targets, as in `Match`.
            codes: (B, N, 4) float32 targets, as in `Match`.
        """
        box_codes, class_scores = box_codes.float(), class_scores.float()
        positive = class_ids >= 0
        count = int(positive.sum())
        # A batch without boxes still trains the background.
        divisor = max(count, 1)
        boxes = (
            functional.smooth_l1_loss(box_codes[positive], codes[positive], reduction="sum")
            / divisor
        )
        if self._scoring.activation == "softmax":
            classes = self._mined_cross_entropy(class_scores, class_ids, positive) / divisor
        else:
            classes = self._focal(class_scores, class_ids) / divisor
        total = classes + self._settings.box_weight * boxes
        return Losses(classes=classes, boxes=boxes, total=total, positives=count)

    def _mined_cross_entropy(self, scores: Tensor, class_ids: Tensor, positive: Tensor) -> Tensor:
        columns = self._columns(class_ids)
        negative = class_ids == NEGATIVE
        with torch.no_grad():
            background = torch.logsumexp(scores, dim=2) - scores[..., 0]
            hardness = torch.where(negative, background, background.new_tensor(-1.0))
            mined = self._hardest(hardness, positive.sum(1), negative.sum(1))
        kept = positive | mined
        return functional.cross_entropy(
            scores[kept],
            columns[kept],
            reduction="sum",
            label_smoothing=self._settings.label_smoothing,
        )

    def _hardest(self, hardness: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Mask (B, N) of the negatives with the largest loss, in proportion to the image's positives."""
        wanted = (positives * self._settings.negatives_per_positive).long()
        wanted = torch.where(positives == 0, self._settings.min_negatives, wanted)
        wanted = torch.minimum(wanted, negatives)
        most = int(wanted.max())
        mask = torch.zeros_like(hardness, dtype=torch.bool)
        if most == 0:
            return mask
        hardest = hardness.topk(most, dim=1).indices
        rank = torch.arange(most, device=hardness.device)
        return mask.scatter(1, hardest, rank[None] < wanted[:, None])

    def _focal(self, scores: Tensor, class_ids: Tensor) -> Tensor:
        """Focal loss (arXiv:1708.02002, equation 5) summed over all anchors that aren't ignored."""
        counted = class_ids != IGNORED
        scores = scores[counted]
        wanted = functional.one_hot(
            self._columns(class_ids)[counted], self._column_count(scores)
        ).float()
        if not self._scoring.background:
            wanted = wanted[:, 1:]
        entropy = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        probability = torch.sigmoid(scores)
        miss = torch.where(wanted > 0, 1 - probability, probability)
        alpha = self._settings.focal_alpha
        weight = torch.where(wanted > 0, alpha, 1 - alpha)
        return (weight * miss**self._settings.focal_gamma * entropy).sum()

    def _column_count(self, scores: Tensor) -> int:
        return scores.shape[-1] + int(not self._scoring.background)

    @staticmethod
    def _columns(class_ids: Tensor) -> Tensor:
        """Turn label indices into score columns, with the background in column 0."""
        return torch.clamp(class_ids + 1, min=0)
