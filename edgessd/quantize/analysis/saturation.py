"""Which share of a tensor's values lies beyond the range that was chosen for it."""

from __future__ import annotations

import onnx

from edgessd.calibrate.table import CalibrationTable
from edgessd.core.network_tensors import CLASS_SCORES
from edgessd.graph.view import GraphView


def saturation(model: onnx.ModelProto, table: CalibrationTable) -> dict[str, float]:
    """Share of the calibration's sampled values that clip, by tensor of a Q/DQ graph.

    Values that an activation function cuts anyway don't count: statistics are those behind it. Class
    scores are left out, whose range ends where scores are hopeless on purpose.

    Args:
        model: From `quantize`.
        table: That it was quantized with.
    """
    view = GraphView(model)
    shares = {}
    for node in model.graph.node:
        name = node.input[0].removesuffix(".real") if node.input else ""
        if node.op_type != "QuantizeLinear" or name not in table.tensors:
            continue
        if node.input[1] == f"{CLASS_SCORES}.scale":
            continue
        scale = float(view.constant(node.input[1]).item())
        zero_point = int(view.constant(node.input[2]).item())
        statistics = table[name]
        # Half a step beyond the last integer still rounds to it.
        low, high = (-128.5 - zero_point) * scale, (127.5 - zero_point) * scale
        edges = statistics.edges
        outside = (edges[1:] <= low) | (edges[:-1] >= high)
        total = int(statistics.counts.sum())
        shares[name] = float(statistics.counts[outside].sum() / total) if total else 0.0
    return shares
