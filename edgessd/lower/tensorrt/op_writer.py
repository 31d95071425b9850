"""Append operators to a network's graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

PREFIX = "postprocess."
"""Prefix of the names of all nodes, tensors and constants that are added here."""


@dataclass
class OpWriter:
    """Collects nodes and constants; each method returns the name of the tensor that it added.

    Attributes:
        public: Names of the graph's outputs, which get no prefix.
        nodes: Added nodes in execution order.
        constants: Added initializers by name.
    """

    public: Sequence[str]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: Any, dtype: type[np.generic]) -> str:
        """Add a constant; a name that is used again must stand for equal values."""
        name = f"{PREFIX}{name}"
        tensor = numpy_helper.from_array(np.asarray(value, dtype), name)
        if self.constants.setdefault(name, tensor) != tensor:
            raise ValueError(f"Two constants are called {name}")
        return name

    def op(self, op_type: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node with one output."""
        return self.ops(op_type, inputs, (name,), **attributes)[0]

    def ops(
        self, op_type: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs."""
        made = [name if name in self.public else f"{PREFIX}{name}" for name in names]
        taken = {output for node in self.nodes for output in node.output} | self.constants.keys()
        if not taken.isdisjoint(made):
            raise ValueError(f"Two tensors are called {taken.intersection(made)}")
        self.nodes.append(
            helper.make_node(op_type, list(inputs), made, f"{PREFIX}{names[0]}.node", **attributes)
        )
        return made

    def reshape(self, source: str, name: str, shape: Sequence[int]) -> str:
        """Add a Reshape to a static shape."""
        return self.op("Reshape", [source, self.constant(f"{name}.shape", shape, np.int64)], name)
