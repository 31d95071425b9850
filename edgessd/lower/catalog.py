"""Engine format → module of its lowering, imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from edgessd.core.errors import LoweringError
from edgessd.lower.lowering import Lowering

LOWERINGS: dict[str, str] = {
    "tflite": "edgessd.lower.tflite.lower",
}


def load_lowering(engine_format: str) -> Lowering:
    """The lowering of an engine format.

    Raises:
        LoweringError: No lowering is known for the format.
    """
    module = LOWERINGS.get(engine_format)
    if module is None:
        raise LoweringError(
            f"No lowering to the engine format {engine_format!r}",
            expected=f"one of {', '.join(sorted(LOWERINGS))}",
            fix="TensorRT and onnxruntime read the Q/DQ graph as it is; bundle the .onnx for them",
        )
    return cast(Lowering, import_module(module))
