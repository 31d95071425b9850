"""Replace Clip(0, 6) by Relu, which TensorRT fuses into the convolution before it.

A QuantizeLinear behind it, whose integers end at 6 or below, saturates there anyway, so the upper bound
has no effect: with and without it, all values from 6 up become integer 127.
"""

from __future__ import annotations

import numpy as np
import onnx

from edgessd.graph.dataflow import clip_bounds
from edgessd.graph.view import GraphView, copy_of, replace_nodes
from edgessd.quantize.qparams import INT8_MAX


def clip_to_relu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace each Clip whose lower bound is 0 and whose readers all saturate at its upper bound."""
    view = GraphView(model)
    model = copy_of(model)
    nodes = [
        onnx.helper.make_node("Relu", [node.input[0]], list(node.output), node.name)
        if node.op_type == "Clip" and _is_exact(view, node)
        else node
        for node in model.graph.node
    ]
    replace_nodes(model, nodes)
    return model


def saturates(high: float, scale: float) -> bool:
    """Tell whether all values from `high` up become integer 127, so that clipping at `high` has no effect."""
    return bool(np.rint(np.float32(high) / np.float32(scale)) >= INT8_MAX)


def _is_exact(view: GraphView, clip: onnx.NodeProto) -> bool:
    low, high = clip_bounds(view, clip)
    name = clip.output[0]
    readers = view.consumers(name)
    return (
        low == 0
        and bool(readers)
        and name not in view.outputs
        and all(_saturates_at(view, reader, high) for reader in readers)
    )


def _saturates_at(view: GraphView, reader: onnx.NodeProto, high: float) -> bool:
    if reader.op_type != "QuantizeLinear":
        return False
    scale, zero_point = (view.constant(name) for name in reader.input[1:3])
    return scale.size == 1 and not zero_point.any() and saturates(high, float(scale.item()))
