"""A checkpoint as a predictor: BGR frame in, `Detections` out, through core's own functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from edgessd.core.boxes import FloatArray
from edgessd.core.contract import Contract, Nms
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.network_tensors import INPUT, output_specs
from edgessd.core.preprocess import ImageTransform, preprocess_image
from edgessd.core.tensors import TensorSpec
from edgessd.model.batch_norm import fold_batch_norm
from edgessd.model.checkpoint import Checkpoint, load_model
from edgessd.model.ssdlite import SsdLite

Frame = NDArray[np.uint8]


class RawOutputs(NamedTuple):
    """Raw outputs of a batch: box_codes (B, N, 4), class_scores (B, N, C), one transform an image."""

    box_codes: FloatArray
    class_scores: FloatArray
    transforms: tuple[ImageTransform, ...]


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
        self._start(load_model(checkpoint), nms)
        if threads is not None:
            torch.set_num_threads(threads)

    @classmethod
    def of_model(cls, model: SsdLite, *, nms: Nms | None = None) -> CheckpointPredictor:
        """A predictor of a model in memory as it is now; further training doesn't change it."""
        predictor = cls.__new__(cls)
        predictor._start(model, nms)
        return predictor

    def _start(self, model: SsdLite, nms: Nms | None) -> None:
        self.contract: Contract = model.contract
        folded = fold_batch_norm(model).cpu()  # wherever the model trains
        self._model = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        spec = self.contract.preprocess
        # NHWC bytes seen as (B, 3, H, W) are channels_last, the layout that convolutions are
        # fastest in, so the frame is never transposed.
        self._input = TensorSpec(
            name=INPUT, shape=(1, spec.height, spec.width, 3), dtype="float32", layout="NHWC"
        )
        self._postprocess = Postprocessor(self.contract, *output_specs(self.contract), nms=nms)

    def __call__(self, frame: Frame) -> Detections:
        """Detect in one BGR frame (H, W, 3) uint8 of any size."""
        return self.predict_batch([frame])[0]

    def predict_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """Detect in several frames with one pass through the network."""
        raw = self.raw(frames)
        return [
            self._postprocess(codes[None], scores[None], transform)
            for codes, scores, transform in zip(*raw, strict=True)
        ]

    def raw(self, frames: Sequence[Frame]) -> RawOutputs:
        """Raw outputs for several frames, before activation, decoding and suppression."""
        prepared = [
            preprocess_image(frame, self.contract.preprocess, self._input) for frame in frames
        ]
        pixels = np.concatenate([tensor for tensor, _ in prepared])
        image = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        with torch.inference_mode():
            box_codes, class_scores = self._model(image)
        return RawOutputs(
            box_codes=box_codes.numpy(),
            class_scores=class_scores.numpy(),
            transforms=tuple(transform for _, transform in prepared),
        )
