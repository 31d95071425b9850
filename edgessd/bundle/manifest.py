"""`manifest.json`: description, origin and measured quality of a bundle."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgessd.bundle.quality import Accuracy, CalibrationAudit, Parity
from edgessd.core.contract import Contract
from edgessd.core.tensors import TensorSpec
from edgessd.target.spec import PostprocessMode

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 3

EngineFormat = Literal["tflite", "onnx", "tensorrt"]


class EngineFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """File that a backend executes.

    Attributes:
        file: Name inside the bundle.
        format: Format of the file.
        sha256: Hex sha256 of its bytes.
        size: Length in bytes.
        inputs: Exactly one image tensor.
        outputs: `box_codes` and `class_scores` with `raw` post-processing; the four tensors of
            TFLite_Detection_PostProcess with `op`.
    """

    file: str
    format: EngineFormat
    sha256: str
    size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class CompanionFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """File of a bundle beside the engine."""

    file: str
    sha256: str
    size: int


class Finish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Graphs to compile on the device, for an engine that can only be compiled there.

    TensorRT below 11 chooses the precision of each layer (a weakly typed network); TensorRT 11 and
    TensorRT-RTX take it from the graph (strongly typed). The bundle holds the same graph in both forms, so
    the device needs neither the checkpoint nor a library that rewrites graphs.

    Attributes:
        weakly_typed: Graph with float32 parameters. Until the bundle is finished it is also its `engine`,
            since onnxruntime runs it as the reference.
        strongly_typed: The same graph with float16 types and parameters.
        precision: Precision of the convolutions.
        inputs, outputs: Tensors of the compiled engine.
    """

    weakly_typed: CompanionFile
    strongly_typed: CompanionFile
    precision: Literal["int8", "fp16"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class CalibrationRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images that the activation ranges come from."""

    recipe: str
    images: int
    images_sha256: str
    """sha256 over the sorted sha256 of the images; it proves or rules out a leak."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Origin of a bundle."""

    created: str
    edgessd: str
    checkpoint: str
    checkpoint_sha256: str
    calibration: CalibrationRecord | None = None
    tools: dict[str, str] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Content of manifest.json.

    Attributes:
        name: Name of the bundle.
        target: Name of the target that it was built for.
        scheme: Quantization scheme of the engine.
        postprocess: `raw` if edgessd decodes the outputs; `op` if the engine ends in a detection op.
        needs_finish: True if the engine must still be compiled on the device.
        finish: Graphs to compile there; None for an engine that is complete.
        notes: Steps that were left out and why, in sentences for a person.
        calibration: Audit of the calibration images; None for a float engine.
        parity: Parity of the engine with its float graph; None for a float engine.
        accuracy: Accuracies measured on labeled images.
    """

    name: str
    target: str
    scheme: Literal["float", "affine", "symmetric"]
    postprocess: PostprocessMode
    engine: EngineFile
    contract: Contract
    provenance: Provenance
    needs_finish: bool = False
    finish: Finish | None = None
    notes: tuple[str, ...] = ()
    calibration: CalibrationAudit | None = None
    parity: Parity | None = None
    accuracy: tuple[Accuracy, ...] = ()
    format_version: int = FORMAT_VERSION
