"""Name nodes and tensors after the module whose parameters they use.

The exporter writes `/backbone/expand/conv/Conv_3` and `…/Conv_3_output_0`. Reports, recipes and engines show
`backbone.blocks.4.expand.conv` for both the node and its output.
"""

from __future__ import annotations

import onnx

from edgessd.graph.view import GraphView, copy_of


def readable_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every node and its output the same readable name; graph inputs and outputs keep theirs.

    A Conv gets the name of the module that owns its weight. A node without parameters is named after the
    nearest Conv before it: `a.b.conv` → `a.b.activation`, `a.b.transpose`. An Add, which ends a block of
    several layers, is named one level higher: `a.add`.
    """
    model = copy_of(model)
    view = GraphView(model)
    taken = {*view.inputs, *view.outputs, *(tensor.name for tensor in model.graph.initializer)}
    fixed = frozenset(taken)
    names: dict[str, str] = {}  # name of the node that makes a tensor, by the tensor's old name
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        name = _unused(_name(node, view, names), taken)
        taken.add(name)
        node.name = name
        for index, output in enumerate(node.output):
            names[output] = name
            if output and output not in fixed:
                renamed[output] = name if index == 0 else f"{name}:{index}"
    for node in model.graph.node:
        for tensors in (node.input, node.output):
            for index, tensor in enumerate(tensors):
                tensors[index] = renamed.get(tensor, tensor)
    del model.graph.value_info[:]
    return model


def _name(node: onnx.NodeProto, view: GraphView, names: dict[str, str]) -> str:
    if node.op_type == "Conv" and node.input[1].endswith(".weight"):
        return str(node.input[1]).removesuffix(".weight")
    if node.op_type == "Concat":
        return f"{node.output[0]}.concat"
    kind = "activation" if node.op_type in ("Clip", "Relu") else node.op_type.lower()
    before = [
        names[tensor]
        for tensor in node.input
        if tensor in names and _op_type(view, tensor) != "Constant"
    ]
    if not before:
        return ".".join(part for part in node.name.split("/") if part) or kind
    if node.op_type == "Add":
        # The branch, which is the input made last, belongs to the block that this Add ends.
        branches = [names[t] for t in node.input if _op_type(view, t) == "Conv"]
        return _parent(branches[-1] if branches else before[-1], steps=2) + ".add"
    return _parent(before[0], steps=1) + f".{kind}"


def _op_type(view: GraphView, tensor: str) -> str:
    producer = view.producer(tensor)
    return "" if producer is None else producer.op_type


def _parent(name: str, *, steps: int) -> str:
    parts = name.split(".")
    return ".".join(parts[: max(1, len(parts) - steps)])


def _unused(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
