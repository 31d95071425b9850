"""Read the inner tensors of a .tflite, to find the layer where an engine differs from its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.core.tensors import TensorSpec
from edgessd.runtime.backend import Tensor, require_tensor
from edgessd.runtime.tflite_backend import load_library, make_interpreter, tensor_spec


class LiteRtProbe:
    """Runs a .tflite on LiteRT's own kernels, which keep every tensor that they write.

    XNNPACK runs a whole subgraph and keeps no inner tensor.

    Args:
        engine: A .tflite.

    Attributes:
        input: Engine's only input.
        tensors: Names of the activations, in the file's order.

    Raises:
        BackendError: LiteRT isn't installed or refuses the engine.
    """

    def __init__(self, engine: Path) -> None:
        module, _, _ = load_library()
        self._interpreter: Any = make_interpreter(
            module, engine, threads=1, xnnpack=False, keep_tensors=True
        )
        (described,) = self._interpreter.get_input_details()
        self.input: TensorSpec = tensor_spec(described)
        self._input_index = described["index"]
        # Activations have one scale; weights, which may have one too, are constants.
        constants = {described["index"]} | _constants(self._interpreter)
        self._activations = {
            detail["name"]: (detail["index"], *detail["quantization"])
            for detail in self._interpreter.get_tensor_details()
            if detail["dtype"] in (np.int8, np.uint8)
            and len(detail["quantization_parameters"]["scales"]) == 1
            and detail["index"] not in constants
        }
        self.tensors = tuple(self._activations)

    def run(self, tensor: Tensor) -> dict[str, NDArray[np.float32]]:
        """Run the engine and return the real values of every activation, in the engine's layout."""
        require_tensor(tensor, self.input)
        self._interpreter.set_tensor(self._input_index, tensor)
        self._interpreter.invoke()
        return {
            name: (self._interpreter.get_tensor(index).astype(np.float32) - zero_point) * scale
            for name, (index, scale, zero_point) in self._activations.items()
        }


def _constants(interpreter: Any) -> set[int]:
    """Find the tensors that operators read and none writes."""
    read: set[int] = set()
    written: set[int] = set()
    for op in interpreter._get_ops_details():
        read.update(int(index) for index in op["inputs"])
        written.update(int(index) for index in op["outputs"])
    return read - written
