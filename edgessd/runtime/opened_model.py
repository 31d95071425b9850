"""Options for opening a model, and the opened model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgessd.bundle.manifest import Manifest
from edgessd.core.contract import Contract, Nms, Preprocess
from edgessd.core.detections import Detections
from edgessd.core.errors import BackendError
from edgessd.core.preprocess import ImageTransform
from edgessd.runtime.backend import Backend, Tensor

Postprocess = Callable[[Mapping[str, Tensor], ImageTransform], Detections]
"""Turns raw outputs by name into detections, in pixels of the source image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions:
    """Options for opening a model; None leaves the choice to the model and its target.

    Attributes:
        backend: A name from `runtime.catalog`.
        threads: CPU threads, at least 1.
        nms: Suppression settings.
        labels: Label file of a foreign .tflite.
    """

    backend: str | None = None
    threads: int | None = None
    nms: Nms | None = None
    labels: Path | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise BackendError(
                "A model needs at least one CPU thread",
                expected="threads >= 1",
                found=str(self.threads),
                fix="Give a larger number, or leave it to the model's target",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedModel:
    """Opened bundle, edgessd .onnx or foreign .tflite.

    Attributes:
        backend: Executes the engine.
        engine_path: File of the engine.
        engine_format: `tflite`, `onnx` or `tensorrt`.
        scheme: Quantization scheme, `unknown` for a foreign model.
        preprocessing: Steps from a frame to the engine's input.
        labels: Class names.
        nms: Suppression settings to begin with.
        make_postprocess: Makes the third stage for given suppression settings.
        contract: Contract of the model; None for a foreign one.
        manifest: Manifest of the bundle; None for any other file.
        notes: Sentences for a person, e.g. that a normalization had to be assumed.
    """

    backend: Backend
    engine_path: Path
    engine_format: str
    scheme: str
    preprocessing: Preprocess
    labels: tuple[str, ...]
    nms: Nms
    make_postprocess: Callable[[Nms], Postprocess]
    contract: Contract | None = None
    manifest: Manifest | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the bundle, else of the file without its suffix."""
        return self.manifest.name if self.manifest else self.engine_path.stem

    @property
    def target(self) -> str:
        """Target of the bundle; `foreign` for any other file."""
        return self.manifest.target if self.manifest else "foreign"

    @property
    def ends_in_op(self) -> bool:
        """True if the engine decodes and suppresses by itself, in a detection op at its end."""
        if self.manifest is not None:
            return self.manifest.postprocess == "op"
        return self.contract is None
