"""Detections and AP of a model during training, by the same preprocessing and decoding as elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edgessd.core.contract import Contract
from edgessd.core.detections import Detections
from edgessd.metrics.coco import EVALUATION_NMS, CocoMetrics, coco_metrics
from edgessd.model.predictor import BatchPredictor
from edgessd.train.photos import Photos


class Evaluator:
    """Evaluate models of one contract on one list of photos.

    Args:
        photos: Images with ground truth.
        contract: Contract of the models.
        batch: Images per pass through the network.
    """

    def __init__(self, photos: Photos, contract: Contract, *, batch: int = 8) -> None:
        self.photos = photos
        self._batch = batch
        self._predictor = BatchPredictor(contract, nms=EVALUATION_NMS)

    def detect(self, model: nn.Module, indices: Sequence[int]) -> list[Detections]:
        """Detect objects in some of the photos with `model`, which is in evaluation mode."""
        found: list[Detections] = []
        for first in range(0, len(indices), self._batch):
            photos = [self.photos.read(index) for index in indices[first : first + self._batch]]
            found += self._predictor.detect(model, photos)
        return found

    def metrics(self, model: nn.Module) -> CocoMetrics:
        """Compute the COCO metrics of `model` over all photos."""
        found = self.detect(model, range(len(self.photos)))
        return coco_metrics(self.photos.images, found, self._predictor.contract.labels)
