"""Measure the share of each tensor's values that lies beyond its range."""

from __future__ import annotations

import onnx

from edgessd.calibrate.table import CalibrationTable
from edgessd.core.network_tensors import CLASS_SCORES
from edgessd.quantize.qdq.read import quantized_tensors


def saturation(model: onnx.ModelProto, table: CalibrationTable) -> dict[str, float]:
    """Return the fraction of the calibration's sampled values that clip, by tensor of a Q/DQ graph.

    Values that an activation function cuts don't count, because statistics are taken after it. Class scores
    are left out: their range ends above the lowest scores on purpose (`ranges.score_floor`).

    Args:
        model: Model of a graph from `quantize`.
        table: Table that it was quantized with.
    """
    shares = {}
    for tensor in quantized_tensors(model):
        if tensor.name not in table.tensors or tensor.stored == CLASS_SCORES:
            continue
        scale, zero_point = tensor.params.scale, tensor.params.zero_point
        statistics = table[tensor.name]
        # Values up to half a step beyond the last integer still round to it.
        low, high = (-128.5 - zero_point) * scale, (127.5 - zero_point) * scale
        edges = statistics.edges
        outside = (edges[1:] <= low) | (edges[:-1] >= high)
        total = int(statistics.counts.sum())
        clipped = int(statistics.counts[outside].sum())
        shares[tensor.name] = float(clipped / total) if total else 0.0
    return shares
