"""Turn constants that nodes make for themselves into initializers.

After simplification the only ones left are the bounds of Clip (ReLU6) and the shapes of Reshape;
every later look-up then reads an initializer.
"""

from __future__ import annotations

import onnx

from edgessd.graph.view import GraphView, copy_of, replace_nodes, set_initializer


def constants_to_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace Constant nodes by initializers of the same tensor name."""
    model = copy_of(model)
    view = GraphView(model)
    kept = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            set_initializer(model, node.output[0], view.constant(node.output[0]))
        else:
            kept.append(node)
    replace_nodes(model, kept)
    return model
