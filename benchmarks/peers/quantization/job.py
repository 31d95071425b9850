"""One job of a quantizer. Standard library only, because every peer's environment imports this."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """One method on one draw of calibration images.

    Attributes:
        peer: Module of this folder with `quantize(job)`.
        method: A key of that module's `METHODS`.
        checkpoint: edgessd's .pt.
        float_graph: Its float32 ONNX graph: input `image` (1, 3, H, W), normalized; outputs
            `box_codes` and `class_scores`.
        tensors: .npy of the calibration images, (N, 3, H, W) float32, as `edgessd.core.preprocess`
            makes them from `images`.
        images: Files of the calibration images.
        folder: Folder for files that a quantizer makes once for all draws.
        engine: File to write. An `.onnx` keeps the names of input and outputs; a `.tflite` has a
            signature whose outputs, sorted by name, are box codes and class scores.
        contract: File to write if the engine's contract differs from the float graph's.
    """

    peer: str
    method: str
    checkpoint: Path
    float_graph: Path
    tensors: Path
    images: tuple[Path, ...]
    folder: Path
    engine: Path
    contract: Path

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Job:
        fields: dict[str, Any] = json.loads(text)
        fields["images"] = tuple(Path(path) for path in fields["images"])
        for name in ("checkpoint", "float_graph", "tensors", "folder", "engine", "contract"):
            fields[name] = Path(fields[name])
        return cls(**fields)
