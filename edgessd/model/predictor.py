"""Detect with a torch network: images in, `Detections` out, through core's own functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgessd.core.boxes import FloatArray
from edgessd.core.contract import Contract, Nms
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.network_tensors import INPUT, output_specs
from edgessd.core.preprocess import ImageTransform, preprocess_image
from edgessd.core.tensors import TensorSpec
from edgessd.model.batch_norm import fold_batch_norm
from edgessd.model.checkpoint import Checkpoint, load_model

ImageArray = NDArray[np.uint8]


class RawOutputs(NamedTuple):
    """Raw outputs of a batch: box_codes (B, N, 4), class_scores (B, N, C), one transform an image."""

    box_codes: FloatArray
    class_scores: FloatArray
    transforms: tuple[ImageTransform, ...]


class BatchPredictor:
    """Runs any torch network of one contract on batches of images.

    Args:
        contract: Contract of the networks.
        nms: Suppression settings other than the contract's.
    """

    def __init__(self, contract: Contract, *, nms: Nms | None = None) -> None:
        self.contract = contract
        size = contract.preprocess
        # NHWC values seen as (B, 3, H, W) are channels_last, the layout in which convolutions are
        # fastest, so the image is never transposed.
        self._input = TensorSpec(
            name=INPUT, shape=(1, size.height, size.width, 3), dtype="float32", layout="NHWC"
        )
        self._postprocess = Postprocessor(contract, *output_specs(contract), nms=nms)

    def detect(self, network: nn.Module, images: Sequence[ImageArray]) -> list[Detections]:
        """Detect in BGR images (H, W, 3) uint8 of any size with one pass through the network."""
        raw = self.raw(network, images)
        return [
            self._postprocess(codes[None], scores[None], transform)
            for codes, scores, transform in zip(*raw, strict=True)
        ]

    @torch.inference_mode()
    def raw(self, network: nn.Module, images: Sequence[ImageArray]) -> RawOutputs:
        """Compute raw outputs, before activation, decoding and suppression.

        Args:
            network: In evaluation mode, on any device.
            images: BGR (H, W, 3) uint8 of any size.
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
    """Runs a float network on the CPU with batch norm folded.

    Args:
        checkpoint: The detector.
        nms: Suppression settings other than the contract's.
        threads: Threads for torch; None leaves torch's setting alone. It is a setting of the process.

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
        """Detect in one BGR image (H, W, 3) uint8 of any size."""
        return self._batches.detect(self._network, [image])[0]
