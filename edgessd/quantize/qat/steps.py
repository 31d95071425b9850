"""The steps of a forward pass, read off a float graph."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from edgessd.core.errors import GraphError
from edgessd.graph.dataflow import ACTIVATIONS, clip_bounds
from edgessd.graph.view import GraphView, int_attribute, int_attributes


@dataclass(frozen=True, kw_only=True)
class Step:
    """One node of the float graph.

    Attributes:
        op: `conv`, `clip`, `add`, `concat`, `transpose` or `reshape`.
        inputs: Names of the tensors that it reads.
        output: Name of the tensor that it writes.
        conv: Name of the convolution; empty for other operations.
        numbers: Bounds of a clip, axis of a concat, permutation, or shape.
        frees: Names of the tensors that no later step reads.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    conv: str = ""
    numbers: tuple[float, ...] = ()
    frees: tuple[str, ...] = ()


def read_steps(model: onnx.ModelProto) -> tuple[Step, ...]:
    """Read the steps of a float graph in its order.

    Raises:
        GraphError: The graph holds an operation that can't be trained.
    """
    view = GraphView(model)
    steps: list[Step] = []
    last = {name: node.name for node in model.graph.node for name in node.input}
    for node in model.graph.node:
        made, numbers = _operation(view, node)
        inputs = tuple(name for name in node.input if name and not view.is_constant(name))
        steps.append(
            Step(
                op=made,
                inputs=inputs,
                output=node.output[0],
                conv=node.name if made == "conv" else "",
                numbers=numbers,
                frees=tuple(n for n in dict.fromkeys(inputs) if last[n] == node.name),
            )
        )
    return tuple(steps)


def _operation(view: GraphView, node: onnx.NodeProto) -> tuple[str, tuple[float, ...]]:
    if node.op_type in ACTIVATIONS:
        return "clip", clip_bounds(view, node)
    if node.op_type == "Concat":
        return "concat", (int_attribute(node, "axis", 0),)
    if node.op_type == "Transpose":
        return "transpose", int_attributes(node, "perm", ())
    if node.op_type == "Reshape":
        return "reshape", view.shape(node.output[0])
    if node.op_type in ("Conv", "Add"):
        return node.op_type.lower(), ()
    raise GraphError(
        "The graph holds an operation that can't be trained",
        expected="Conv, Relu, Clip, Add, Concat, Transpose, Reshape",
        found=f"{node.op_type} {node.name!r}",
    )
