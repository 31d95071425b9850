"""`Detector`: open a model file and find labeled boxes in images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from edgessd.core.arrays import ImageArray
from edgessd.core.contract import Nms, Preprocess
from edgessd.core.detections import Detections
from edgessd.core.preprocess import ImageTransform, preprocess_image
from edgessd.runtime.backend import Backend, Tensor
from edgessd.runtime.opened_model import ModelOptions, OpenedModel
from edgessd.runtime.opening import open_model


class Detector:
    """Runs a bundle, a foreign .tflite with TFLite's detection op, or an edgessd .onnx.

    Args:
        model: Folder of a bundle, a .tflite, or an .onnx that edgessd exported.
        backend: A name from `runtime.catalog`; None takes the target's first.
        threads: CPU threads; None takes the target's number, at most the cores there are.
        nms: Suppression settings instead of the model's own.
        labels: Label file for a foreign .tflite without labels.

    Attributes:
        model: The opened model: engine, contract, manifest.

    Raises:
        BundleError: A bundle that is damaged, or whose engine can't run here (see `backend`).
        BackendError: A library that is missing, or a model that it refuses.

    Example:
        >>> with Detector("dist/codes-host") as detector:  # doctest: +SKIP
        ...     for label, score, box in detector(frame_bgr).named():
        ...         print(label, score, box)
    """

    def __init__(
        self,
        model: str | Path,
        *,
        backend: str | None = None,
        threads: int | None = None,
        nms: Nms | None = None,
        labels: str | Path | None = None,
    ) -> None:
        options = ModelOptions(
            backend=backend,
            threads=threads,
            nms=nms,
            labels=Path(labels) if labels is not None else None,
        )
        self.model: OpenedModel = open_model(Path(model), options)
        self.nms = self.model.nms

    @property
    def name(self) -> str:
        """Name of the bundle, else of the file without its suffix."""
        return self.model.name

    @property
    def target(self) -> str:
        """Target of the bundle; `foreign` for any other file."""
        return self.model.target

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; `Detections.class_ids` index them."""
        return self.model.labels

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for a person, e.g. that a model's normalization had to be assumed."""
        return self.model.notes

    @property
    def backend(self) -> Backend:
        """Backend that executes the engine."""
        return self.model.backend

    @property
    def preprocessing(self) -> Preprocess:
        """Steps from a frame to the engine's input."""
        return self.model.preprocessing

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the network's input in pixels."""
        return self.preprocessing.width, self.preprocessing.height

    @property
    def details(self) -> dict[str, Any]:
        """Backend, library, version, threads and delegate, for the record of a measurement."""
        return {"backend": self.backend.name, **self.backend.details}

    @property
    def nms(self) -> Nms:
        """Suppression settings; new ones take effect with the next frame."""
        return self._nms

    @nms.setter
    def nms(self, nms: Nms) -> None:
        self._nms = nms
        self._postprocess = self.model.make_postprocess(nms)

    @property
    def score_threshold(self) -> float:
        """Score in [0, 1]; detections at or below it are dropped."""
        return self._nms.score_threshold

    @score_threshold.setter
    def score_threshold(self, threshold: float) -> None:
        self.nms = msgspec.structs.replace(self._nms, score_threshold=threshold)

    def __call__(self, frame_bgr: ImageArray) -> Detections:
        """Detect objects in one (H, W, 3) uint8 BGR frame of any size."""
        tensor, transform = self.preprocess(frame_bgr)
        return self.postprocess(self.infer(tensor), transform)

    def preprocess(
        self, frame_bgr: ImageArray, out: Tensor | None = None
    ) -> tuple[Tensor, ImageTransform]:
        """Make the engine's input from a frame: the first stage.

        Args:
            frame_bgr: (H, W, 3) uint8.
            out: Array of `backend.input`'s shape and dtype to write into; made if absent.

        Returns:
            The input, and the transform from the frame to it.
        """
        return preprocess_image(frame_bgr, self.preprocessing, self.backend.input, out)

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Run the engine: the second stage. Raw outputs by name, valid until the next call."""
        return self.backend.infer(tensor)

    def postprocess(self, outputs: Mapping[str, Tensor], transform: ImageTransform) -> Detections:
        """Decode and suppress raw outputs: the third stage. Boxes are pixels of the frame."""
        return self._postprocess(outputs, transform)

    def close(self) -> None:
        """Free the engine. A second call does nothing."""
        self.backend.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
