"""Write out the shape of every Reshape.

`view(batch, -1, 4)` leaves a -1 that every engine would have to infer again.
"""

from __future__ import annotations

import numpy as np
import onnx

from edgessd.graph.view import GraphView, copy_of, replace_nodes, set_initializer


def static_reshape(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace Reshape(x, s) by Reshape(x, `<name>.shape`) with the inferred, static shape.

    The model needs inferred shapes.
    """
    view = GraphView(model)
    model = copy_of(model)
    for node in model.graph.node:
        if node.op_type != "Reshape":
            continue
        shape = view.shape(node.output[0])
        node.input[1] = f"{node.name}.shape"
        set_initializer(model, node.input[1], np.asarray(shape, np.int64))
    replace_nodes(model, list(model.graph.node))
    return model
