"""What a graph computes from one tensor on."""

from __future__ import annotations

import onnx
from onnx import helper

from edgessd.graph.view import GraphView


def tail_of(model: onnx.ModelProto, cut: str) -> onnx.ModelProto:
    """The part of a graph that depends on a tensor, as a model.

    Its inputs are `cut` and whatever else that part reads from before it; its outputs are those outputs
    of the graph that depend on `cut`.

    Args:
        model: With inferred, static shapes.
        cut: A tensor that isn't an output of the graph.
    """
    view = GraphView(model)
    made = {cut}
    nodes = []
    for node in model.graph.node:
        if made.intersection(node.input):
            nodes.append(node)
            made.update(node.output)
    read = dict.fromkeys(name for node in nodes for name in node.input if name)
    stored = {tensor.name for tensor in model.graph.initializer}
    # Constant nodes have no input, so nothing that depends on the tensor includes them.
    constants = [
        node for node in model.graph.node if node.op_type == "Constant" and node.output[0] in read
    ]
    made.update(node.output[0] for node in constants)
    inputs = [cut, *(name for name in read if name not in made and name not in stored)]
    graph = helper.make_graph(
        [*constants, *nodes],
        "tail",
        [_declared(view, name) for name in inputs],
        [_declared(view, name) for name in view.outputs if name in made],
        [tensor for tensor in model.graph.initializer if tensor.name in read],
    )
    tail = helper.make_model(graph, opset_imports=list(model.opset_import))
    tail.ir_version = model.ir_version
    return tail


def _declared(view: GraphView, name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, view.shape(name))
