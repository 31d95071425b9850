"""Find the tensors that an integer engine writes to memory.

An activation function is fused into the operation before it, so the tensor between them never exists. A
transpose or reshape moves values without changing them, so its output needs no statistics.
"""

from __future__ import annotations

import onnx

from edgessd.graph.view import GraphView

ACTIVATIONS = frozenset({"Relu", "Clip"})
"""Activation functions, fused into the Conv, Gemm or Add before them."""

MOVES = frozenset({"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "MaxPool", "Pad"})
"""Operations whose output has the values of their input. (A Pad adds zeros, which every range includes.)"""

FUSING = frozenset({"Conv", "Gemm", "Add"})


def is_fused_away(view: GraphView, name: str) -> bool:
    """Tell whether a tensor lies between an operation and its fused activation."""
    producer, consumer = view.producer(name), view.only_consumer(name)
    return (
        producer is not None
        and producer.op_type in FUSING
        and consumer is not None
        and consumer.op_type in ACTIVATIONS
    )


def materialized_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the tensors that an integer engine writes, graph inputs first, in graph order."""
    view = GraphView(model)
    made = [name for node in model.graph.node if node.op_type != "Constant" for name in node.output]
    return [name for name in (*view.inputs, *made) if not is_fused_away(view, name)]


def observed_tensors(model: onnx.ModelProto) -> list[str]:
    """Return the materialized tensors that don't just hold moved values of another.

    The output of a Concat is one of them: its statistics are those of all tensors that it joins.
    """
    view = GraphView(model)
    names = []
    for name in materialized_tensors(model):
        producer = view.producer(name)
        if producer is None or producer.op_type not in MOVES:
            names.append(name)
    return names


def clip_bounds(view: GraphView, node: onnx.NodeProto) -> tuple[float, float]:
    """Return (low, high) of a Relu or Clip; a missing bound is infinite."""
    if node.op_type == "Relu":
        return 0.0, float("inf")
    low, high = float("-inf"), float("inf")
    if len(node.input) > 1 and node.input[1]:
        low = float(view.constant(node.input[1]).item())
    if len(node.input) > 2 and node.input[2]:
        high = float(view.constant(node.input[2]).item())
    return low, high
