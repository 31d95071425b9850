"""`GraphView`: look up the producer, readers, value and shape of a tensor. Functions that edit a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgessd.core.arrays import AnyArray
from edgessd.core.errors import GraphError


class GraphView:
    """Look-ups on one state of a graph; an edited graph needs a new view.

    Args:
        model: Model, with inferred shapes if `shape` is used.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._producers = {name: node for node in graph.node for name in node.output if name}
        self._consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                if name:
                    self._consumers.setdefault(name, []).append(node)
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._values = {
            value.name: value for value in (*graph.value_info, *graph.input, *graph.output)
        }
        self.inputs = tuple(v.name for v in graph.input if v.name not in self._initializers)
        self.outputs = tuple(value.name for value in graph.output)

    def producer(self, name: str) -> onnx.NodeProto | None:
        """Return the node that makes a tensor; None for graph inputs and initializers."""
        return self._producers.get(name)

    def consumers(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that read a tensor, in graph order."""
        return self._consumers.get(name, [])

    def only_consumer(self, name: str) -> onnx.NodeProto | None:
        """Return the only node that reads a tensor; None if others read it or it is a graph output."""
        consumers = self.consumers(name)
        return consumers[0] if len(consumers) == 1 and name not in self.outputs else None

    def is_constant(self, name: str) -> bool:
        """Tell whether a tensor is an initializer or the output of a Constant node."""
        producer = self.producer(name)
        return name in self._initializers or (
            producer is not None and producer.op_type == "Constant"
        )

    def constant(self, name: str) -> AnyArray:
        """Return the value of a constant tensor.

        Raises:
            GraphError: The tensor is computed at run time.
        """
        if name in self._initializers:
            return numpy_helper.to_array(self._initializers[name])
        producer = self.producer(name)
        if producer is not None and producer.op_type == "Constant":
            value = attribute(producer, "value")
            if isinstance(value, onnx.TensorProto):
                return numpy_helper.to_array(value)
        raise GraphError(
            f"Tensor {name!r} isn't constant", expected="an initializer", found=self.origin(name)
        )

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the static shape of a tensor.

        Raises:
            GraphError: The shape is unknown or dynamic.
        """
        if name in self._initializers:
            return tuple(self._initializers[name].dims)
        value = self._values.get(name)
        dims = value.type.tensor_type.shape.dim if value is not None else ()
        if value is None or any(not dim.HasField("dim_value") for dim in dims):
            raise GraphError(f"The shape of tensor {name!r} isn't static")
        return tuple(dim.dim_value for dim in dims)

    def origin(self, name: str) -> str:
        """Describe the origin of a tensor, for messages."""
        producer = self.producer(name)
        if producer is not None:
            return f"the output of {producer.op_type} {producer.name!r}"
        return "a graph input" if name in self.inputs else "a tensor that no node makes"


def attribute(node: onnx.NodeProto, name: str, default: object = None) -> object:
    """Return an attribute's Python value (a list for a repeated one), or `default`."""
    for entry in node.attribute:
        if entry.name == name:
            return onnx.helper.get_attribute_value(entry)
    return default


def int_attributes(node: onnx.NodeProto, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """Return an attribute that holds integers, or `default`."""
    value: Any = attribute(node, name, default)
    return tuple(int(number) for number in value)


def int_attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """Return an attribute that holds one integer, or `default`."""
    value: Any = attribute(node, name, default)
    return int(value)


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that a pass may edit."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def set_initializer(model: onnx.ModelProto, name: str, value: AnyArray) -> None:
    """Add an initializer, or set the value of an existing one."""
    # ascontiguousarray would turn a scalar into a vector, and a per-tensor scale is a scalar.
    tensor = numpy_helper.from_array(np.asarray(value, order="C"), name)
    for entry in model.graph.initializer:
        if entry.name == name:
            entry.CopyFrom(tensor)
            return
    model.graph.initializer.append(tensor)


def replace_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Replace the graph's nodes and remove initializers that no node reads.

    Value infos are removed too: they describe the old tensors, and the check after each pass infers new ones.
    """
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    del model.graph.value_info[:]
    used = {name for node in kept for name in node.input}
    used.update(value.name for value in model.graph.output)
    initializers = [tensor for tensor in model.graph.initializer if tensor.name in used]
    if len(initializers) != len(model.graph.initializer):
        # Copies, because deleting from a repeated field invalidates its messages.
        copies = [onnx.TensorProto.FromString(t.SerializeToString()) for t in initializers]
        del model.graph.initializer[:]
        model.graph.initializer.extend(copies)
