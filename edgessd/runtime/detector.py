"""`Detector`: a model file in, named boxes out. What every camera, benchmark and evaluation calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgessd.core.contract import Nms
from edgessd.core.detections import Detections
from edgessd.core.errors import BackendError
from edgessd.core.preprocess import ImageTransform, preprocess_image
from edgessd.runtime.backend import Tensor
from edgessd.runtime.opening import ModelOptions, open_model

ImageArray = NDArray[np.uint8]


class Detector:
    """Runs a bundle, a foreign .tflite with TFLite's post-process op, or an edgessd .onnx.

    Args:
        model: A bundle's folder, a .tflite, or an .onnx that `edgessd` exported.
        backend: A name from `runtime.catalog`; None takes the target's first.
        threads: CPU threads; None takes the target's, at most the cores there are.
        nms: Settings other than the model's own.
        labels: A label file, for a foreign .tflite that brings none.

    Attributes:
        path: The model as given.
        name: The bundle's name, else the file's.
        target: What the bundle was built for, `foreign` for anything but a bundle.
        scheme: Quantization scheme, `unknown` for a foreign .tflite.
        backend: What executes the engine.
        engine_path, engine_format: The engine's file.
        preprocessing, labels: What the detector does with a frame, and what it can find.
        contract: None for a foreign model.
        manifest: None for anything but a bundle.
        notes: What a person should know, e.g. that a model's normalization had to be assumed.

    Raises:
        BundleError: A bundle that doesn't hold, or isn't finished (see `backend`).
        BackendError: A library that is missing, or a model it refuses.

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
        self.path = Path(model)
        if threads is not None and threads < 1:
            raise BackendError(
                "There is nothing to run on", expected="threads >= 1", found=str(threads)
            )
        options = ModelOptions(
            backend=backend,
            threads=threads,
            nms=nms,
            labels=Path(labels) if labels is not None else None,
        )
        opened = open_model(self.path, options)
        self.backend = opened.backend
        self.preprocessing = opened.preprocessing
        self.labels = opened.labels
        self.contract = opened.contract
        self.manifest = opened.manifest
        self.notes = opened.notes
        self.name = opened.manifest.name if opened.manifest else self.path.stem
        self.target = opened.manifest.target if opened.manifest else "foreign"
        self.scheme = opened.scheme
        self.engine_path = opened.engine_path
        self.engine_format = opened.engine_format
        self._make_postprocess = opened.make_postprocess
        self.nms = opened.nms

    @property
    def nms(self) -> Nms:
        """Suppression settings; assigning others takes effect with the next frame."""
        return self._nms

    @nms.setter
    def nms(self, nms: Nms) -> None:
        self._nms = nms
        self._postprocess = self._make_postprocess(nms)

    @property
    def score_threshold(self) -> float:
        """Detections scored at or below it are dropped."""
        return self._nms.score_threshold

    @score_threshold.setter
    def score_threshold(self, threshold: float) -> None:
        self.nms = msgspec.structs.replace(self._nms, score_threshold=threshold)

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the network's input in pixels."""
        return self.preprocessing.width, self.preprocessing.height

    @property
    def details(self) -> dict[str, Any]:
        """What a benchmark has to state of the engine: backend, library, version, threads, delegate."""
        return {"backend": self.backend.name, **self.backend.details}

    def __call__(self, frame_bgr: ImageArray) -> Detections:
        """Detect in one (H, W, 3) uint8 BGR frame of any size."""
        tensor, transform = self.preprocess(frame_bgr)
        return self.postprocess(self.infer(tensor), transform)

    def preprocess(
        self, frame_bgr: ImageArray, out: Tensor | None = None
    ) -> tuple[Tensor, ImageTransform]:
        """First stage: the engine's input, and where the frame landed in it.

        Args:
            frame_bgr: (H, W, 3) uint8.
            out: Array of `backend.input`'s shape and dtype to write into; made if absent.
        """
        return preprocess_image(frame_bgr, self.preprocessing, self.backend.input, out)

    def infer(self, tensor: Tensor) -> dict[str, Tensor]:
        """Second stage: raw outputs by name, valid until the next call."""
        return self.backend.infer(tensor)

    def postprocess(self, outputs: Mapping[str, Tensor], transform: ImageTransform) -> Detections:
        """Third stage: decode and suppress, in pixels of the original frame."""
        return self._postprocess(outputs, transform)

    def close(self) -> None:
        """Free the engine. Calling it twice is fine."""
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
