"""Cut out the part of a graph that depends on one tensor."""

from __future__ import annotations

import onnx
from onnx import helper

from edgessd.graph.view import GraphView


def subgraph_from(model: onnx.ModelProto, cut: str) -> onnx.ModelProto:
    """Return the part of a graph that depends on a tensor, as a model.

    Its inputs are `cut` and the other tensors that the part reads. Its outputs are the outputs of the graph
    that depend on `cut`.

    Args:
        model: Model with inferred, static shapes.
        cut: Name of a tensor that isn't an output of the graph.
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
    # Constant nodes have no input, so they don't depend on the tensor.
    constants = [
        node for node in model.graph.node if node.op_type == "Constant" and node.output[0] in read
    ]
    made.update(node.output[0] for node in constants)
    inputs = [cut, *(name for name in read if name not in made and name not in stored)]
    graph = helper.make_graph(
        [*constants, *nodes],
        "subgraph",
        [_declared(view, name) for name in inputs],
        [_declared(view, name) for name in view.outputs if name in made],
        [tensor for tensor in model.graph.initializer if tensor.name in read],
    )
    subgraph = helper.make_model(graph, opset_imports=list(model.opset_import))
    subgraph.ir_version = model.ir_version
    return subgraph


def _declared(view: GraphView, name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, view.shape(name))
