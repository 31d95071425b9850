"""The two training methods' interface, and float training; `train.qat` is the other one."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from edgessd.core.contract import Scoring
from edgessd.metrics.coco import CocoMetrics
from edgessd.model.checkpoint import Checkpoint, checkpoint_of
from edgessd.model.ssdlite import SsdLite
from edgessd.train.config import LossSettings
from edgessd.train.evaluate import Evaluator
from edgessd.train.loss import Losses, MultiboxLoss


class Method(Protocol):
    """Everything in the training loop that depends on the kind of network."""

    def losses(
        self,
        images: Tensor,
        box_codes: Tensor,
        class_scores: Tensor,
        class_ids: Tensor,
        codes: Tensor,
    ) -> Losses:
        """Compute the loss of a batch.

        Args:
            images: (B, 3, H, W) float32, normalized.
            box_codes: (B, N, 4) raw output of the network.
            class_scores: (B, N, C) raw output of the network.
            class_ids: (B, N) int64 targets, as in `Match`.
            codes: (B, N, 4) float32 targets, as in `Match`.
        """
        ...

    def evaluate(self, evaluator: Evaluator, network: nn.Module) -> CocoMetrics:
        """Measure a network in evaluation mode."""
        ...

    def snapshot(self, network: nn.Module, provenance: dict[str, str]) -> Checkpoint:
        """Make a checkpoint of a network."""
        ...


class FloatTraining:
    """Training of a float network on ground truth."""

    def __init__(self, scoring: Scoring, settings: LossSettings) -> None:
        self._loss = MultiboxLoss(scoring, settings)

    def losses(
        self,
        images: Tensor,
        box_codes: Tensor,
        class_scores: Tensor,
        class_ids: Tensor,
        codes: Tensor,
    ) -> Losses:
        """Compute the multibox loss."""
        return self._loss(box_codes, class_scores, class_ids, codes)

    def evaluate(self, evaluator: Evaluator, network: nn.Module) -> CocoMetrics:
        """Compute the COCO metrics on the evaluator's photos."""
        return evaluator.metrics(network)

    def snapshot(self, network: nn.Module, provenance: dict[str, str]) -> Checkpoint:
        """Make a checkpoint with configuration, contract and weights."""
        assert isinstance(network, SsdLite)
        return checkpoint_of(network, provenance)
