"""What a training minimises, judges by and keeps: float training, or quantization-aware."""

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
    """A way to train; the loop asks it for everything that depends on the kind of network."""

    def losses(
        self,
        images: Tensor,
        box_codes: Tensor,
        class_scores: Tensor,
        class_ids: Tensor,
        codes: Tensor,
    ) -> Losses:
        """The loss of a batch.

        Args:
            images: (B, 3, H, W) float32, normalised.
            box_codes: (B, N, 4) raw, of the network.
            class_scores: (B, N, C) raw, of the network.
            class_ids: (B, N) int64 of `Match`.
            codes: (B, N, 4) of `Match`.
        """
        ...

    def evaluate(self, evaluator: Evaluator, network: nn.Module) -> CocoMetrics:
        """How good a network in evaluation mode is."""
        ...

    def snapshot(self, network: nn.Module, provenance: dict[str, str]) -> Checkpoint:
        """What is kept of a network."""
        ...


class FloatTraining:
    """Ground truth teaches, and the network is kept as it is."""

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
        """The multibox loss."""
        return self._loss(box_codes, class_scores, class_ids, codes)

    def evaluate(self, evaluator: Evaluator, network: nn.Module) -> CocoMetrics:
        """Its metrics over the evaluator's photos."""
        return evaluator.metrics(network)

    def snapshot(self, network: nn.Module, provenance: dict[str, str]) -> Checkpoint:
        """Config, contract and weights."""
        assert isinstance(network, SsdLite)
        return checkpoint_of(network, provenance)
