"""Detections and AP of a model during training, by the same preprocessing and decoding as elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from edgessd.core.contract import Contract
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.network_tensors import image_spec, output_specs
from edgessd.core.preprocess import fill_tensor, fit_image
from edgessd.metrics.coco import EVALUATION_NMS, CocoMetrics, coco_metrics
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
        self._contract = contract
        self._batch = batch
        self._input = image_spec(contract.preprocess)
        self._postprocess = Postprocessor(contract, *output_specs(contract), nms=EVALUATION_NMS)

    def detect(self, model: nn.Module, indices: Sequence[int]) -> list[Detections]:
        """Detect objects in some of the photos with `model`, which is in evaluation mode."""
        found: list[Detections] = []
        for first in range(0, len(indices), self._batch):
            found += self._detect_batch(model, indices[first : first + self._batch])
        return found

    def metrics(self, model: nn.Module) -> CocoMetrics:
        """Compute the COCO metrics of `model` over all photos."""
        found = self.detect(model, range(len(self.photos)))
        return coco_metrics(self.photos.images, found, self._contract.labels)

    @torch.inference_mode()
    def _detect_batch(self, model: nn.Module, indices: Sequence[int]) -> list[Detections]:
        parameter = next(model.parameters())
        tensors, transforms = [], []
        for index in indices:
            pixels, transform = fit_image(self.photos.read(index), self._contract.preprocess)
            tensors.append(fill_tensor(pixels, self._contract.preprocess, self._input))
            transforms.append(transform)
        images = torch.from_numpy(np.concatenate(tensors)).to(parameter.device)
        images = images.contiguous(memory_format=torch.channels_last)
        box_codes, class_scores = (output.float().cpu().numpy() for output in model(images))
        return [
            self._postprocess(box_codes[row : row + 1], class_scores[row : row + 1], transform)
            for row, transform in enumerate(transforms)
        ]
