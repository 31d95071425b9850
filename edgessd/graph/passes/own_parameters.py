"""Give every Conv its own weight and bias, named after it.

The simplifier merges equal initializers, for example two biases of zeros, and a folded batch norm leaves
names like `onnx::Conv_86`. Later passes rewrite the parameters of single layers, and reports show their
names. So no two layers may share parameters, and every Conv needs a bias.
"""

from __future__ import annotations

import numpy as np
import onnx

from edgessd.core.errors import GraphError
from edgessd.graph.view import GraphView, copy_of, replace_nodes, set_initializer


def own_parameters(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace Conv(x, w[, b]) by Conv(x, `<name>.weight`, `<name>.bias`).

    Raises:
        GraphError: A weight is computed at run time, or two nodes have the same name.
    """
    view = GraphView(model)
    model = copy_of(model)
    names: set[str] = set()
    for conv in model.graph.node:
        if conv.op_type != "Conv":
            continue
        if not conv.name or conv.name in names:
            raise GraphError("Two Conv nodes have one name", found=repr(conv.name))
        names.add(conv.name)
        weight = view.constant(conv.input[1])
        has_bias = len(conv.input) > 2 and bool(conv.input[2])
        bias = view.constant(conv.input[2]) if has_bias else np.zeros(len(weight), np.float32)
        source = conv.input[0]
        del conv.input[:]
        conv.input.extend([source, f"{conv.name}.weight", f"{conv.name}.bias"])
        set_initializer(model, conv.input[1], weight)
        set_initializer(model, conv.input[2], bias)
    replace_nodes(model, list(model.graph.node))
    return model
