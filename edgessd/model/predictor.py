"""Detect objects with a torch network, by core's preprocessing and decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from edgessd.core.arrays import FloatArray, ImageArray
from edgessd.core.contract import Contract, Nms
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.network_tensors import INPUT, output_specs
from edgessd.core.preprocess import ImageTransform, preprocess_image
from edgessd.core.tensors import TensorSpec
from edgessd.model.batch_norm import fold_batch_norm
from edgessd.model.checkpoint import Checkpoint, load_model


class RawOutputs(NamedTuple):
    """Raw outputs of a batch of B images.

    Attributes:
        box_codes: (B, N, 4) float32.
        class_scores: (B, N, C) float32, before the activation.
        transforms: Image transform of each image.
    """

    box_codes: FloatArray
    class_scores: FloatArray
    transforms: tuple[ImageTransform, ...]


class BatchPredictor:
    """Run torch networks of one contract on batches of images.

    Args:
        contract: Contract of the networks.
        nms: Suppression settings; the contract's if absent.
    """

    def __init__(self, contract: Contract, *, nms: Nms | None = None) -> None:
        self.contract = contract
        size = contract.preprocess
        # An NHWC array viewed as (B, 3, H, W) is in channels_last memory, the fastest layout for
        # convolutions, so the image is never transposed.
        self._input = TensorSpec(
            name=INPUT, shape=(1, size.height, size.width, 3), dtype="float32", layout="NHWC"
        )
        self._postprocess = Postprocessor(contract, *output_specs(contract), nms=nms)

    def detect(self, network: nn.Module, images: Sequence[ImageArray]) -> list[Detections]:
        """Detect objects in BGR images, (H, W, 3) uint8 of any size, in one pass."""
        raw = self.raw(network, images)
        return [
            self._postprocess(codes[None], scores[None], transform)
            for codes, scores, transform in zip(*raw, strict=True)
        ]

    @torch.inference_mode()
    def raw(self, network: nn.Module, images: Sequence[ImageArray]) -> RawOutputs:
        """Compute raw outputs, before activation, decoding and suppression.

        Args:
            network: Network in evaluation mode, on any device.
            images: BGR images, (H, W, 3) uint8 of any size.
        """
        inputs = [
            preprocess_image(image, self.contract.preprocess, self._input) for image in images
        ]
        pixels = torch.from_numpy(np.concatenate([tensor for tensor, _ in inputs]))
        device = next(network.parameters()).device
        outputs = network(pixels.permute(0, 3, 1, 2).to(device))
        box_codes, class_scores = (output.float().cpu().numpy() for output in outputs)
        return RawOutputs(
            box_codes=box_codes,
            class_scores=class_scores,
            transforms=tuple(transform for _, transform in inputs),
        )


class CheckpointPredictor:
    """Run a checkpoint's float network on the CPU with batch norm folded.

    Args:
        checkpoint: The detector.
        nms: Suppression settings; the contract's if absent.
        threads: CPU threads of torch in this process; None keeps the current number.

    Example:
        predictor = CheckpointPredictor(load_checkpoint(Path("best.pt")))
        detections = predictor(cv2.imread("photo.jpg"))
    """

    def __init__(
        self, checkpoint: Checkpoint, *, nms: Nms | None = None, threads: int | None = None
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        folded = fold_batch_norm(load_model(checkpoint)).cpu()
        self._network = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batches = BatchPredictor(checkpoint.contract, nms=nms)

    @property
    def contract(self) -> Contract:
        return self._batches.contract

    def __call__(self, image: ImageArray) -> Detections:
        """Detect objects in one BGR image, (H, W, 3) uint8 of any size."""
        return self._batches.detect(self._network, [image])[0]
