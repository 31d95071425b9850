"""The places where a scheme rounds, read off a quantized graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from edgessd.graph.dataflow import MOVES
from edgessd.graph.view import GraphView
from edgessd.quantize.qdq.names import stored_name
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.qdq.read import has_integer_weight, quantized_tensors
from edgessd.quantize.qparams import INT8_MAX, INT8_MIN


@dataclass(frozen=True, kw_only=True)
class QuantizerSites:
    """Places where one scheme rounds.

    Attributes:
        activations: Name of the scale of each tensor that is rounded.
        convolutions: Names of the convolutions with integer weights.
    """

    activations: Mapping[str, str]
    convolutions: frozenset[str]


def quantizer_sites(model: onnx.ModelProto) -> QuantizerSites:
    """Read the sites off a quantized graph."""
    view = GraphView(model)
    activations: dict[str, str] = {}
    for tensor in quantized_tensors(model):
        source = view.producer(tensor.node.input[0])
        # Values that were moved or joined with the same scale are rounded already.
        moved: Sequence[str] = ()
        if source is not None and source.op_type in MOVES:
            moved = source.input[:1]
        elif source is not None and source.op_type == "Concat":
            moved = source.input
        if not moved or any(_stored(view, name) != tensor.stored for name in moved):
            activations[tensor.name] = tensor.stored
    convolutions = frozenset(
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and has_integer_weight(view, node)
    )
    return QuantizerSites(activations=activations, convolutions=convolutions)


def start_ranges(quantized: Sequence[QuantGraph]) -> dict[str, tuple[float, float]]:
    """Return (low, high) that each scale holds, by its name; the first graph that has a scale decides."""
    found: dict[str, tuple[float, float]] = {}
    for graph in quantized:
        params = {tensor.stored: tensor.params for tensor in quantized_tensors(graph.model)}
        for stored in dict.fromkeys(quantizer_sites(graph.model).activations.values()):
            scale, zero_point = params[stored].scale, params[stored].zero_point
            limits = (scale * (INT8_MIN - zero_point), scale * (INT8_MAX - zero_point))
            if graph.scheme == "symmetric":
                limits = (-scale * INT8_MAX, scale * INT8_MAX)
            found.setdefault(stored, limits)
    return found


def _stored(view: GraphView, name: str) -> str:
    """Name of the scale behind a tensor; empty if the tensor is float."""
    producer = view.producer(name)
    if producer is None or producer.op_type != "DequantizeLinear":
        return ""
    return stored_name(producer)
