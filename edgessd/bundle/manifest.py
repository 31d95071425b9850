"""`manifest.json`: what a bundle is, what it was made from, and what it promises."""

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
    """The file that a backend executes.

    Attributes:
        file: Name inside the bundle.
        format: What kind of file it is.
        sha256: Of its bytes.
        size: Bytes.
        inputs: Exactly one image tensor.
        outputs: With `raw` post-processing `box_codes` and `class_scores`; with `op` the four
            tensors of TFLite_Detection_PostProcess.
    """

    file: str
    format: EngineFormat
    sha256: str
    size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class CompanionFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of the bundle beside the engine."""

    file: str
    sha256: str
    size: int


class Finish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the device compiles, where the engine can only be compiled there.

    TensorRT below 11 chooses the precision of each layer by itself (a weakly typed network), TensorRT 11
    and TensorRT-RTX take it from the graph (strongly typed). The same graph lies here in both forms, so
    that the device needs neither the checkpoint nor any library that rewrites graphs.

    Attributes:
        weakly_typed: The graph with float32 parameters; it is also the bundle's `engine` as long as the
            bundle isn't finished, since onnxruntime runs it as the reference.
        strongly_typed: The same graph with float16 written into it.
        precision: Of the layers that do the work.
        inputs, outputs: Tensors of the compiled engine.
    """

    weakly_typed: CompanionFile
    strongly_typed: CompanionFile
    precision: Literal["int8", "fp16"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class CalibrationRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which images the activation ranges come from."""

    recipe: str
    images: int
    images_sha256: str
    """sha256 over the sorted sha256 of the images, so that a leak can be proven or ruled out."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a bundle comes from."""

    created: str
    edgessd: str
    checkpoint: str
    checkpoint_sha256: str
    calibration: CalibrationRecord | None = None
    tools: dict[str, str] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of manifest.json.

    Attributes:
        name: Of the bundle.
        target: Name of the target it was built for.
        scheme: Quantization scheme of the engine.
        postprocess: `raw` outputs are decoded by edgessd; `op` ends in the engine's own detection op.
        needs_finish: The engine still has to be compiled on the device.
        finish: What is compiled there; None for engines that are complete as they are.
        notes: What was not done here and why, in sentences for a person.
        calibration: Whether the images were fit for it; None for a float engine.
        parity: Of the engine with its float graph; None for a float engine.
        accuracy: What was measured of the bundle on labelled images.
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
