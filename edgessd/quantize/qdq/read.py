"""Read the activations' scales and zero points, and the convolutions' parameters, off a Q/DQ graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from edgessd.core.arrays import FloatArray
from edgessd.core.tensors import QuantParams
from edgessd.graph.view import GraphView
from edgessd.quantize.qdq import names
from edgessd.quantize.qparams import per_channel


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizedTensor:
    """An activation that a QuantizeLinear rounds.

    Attributes:
        name: Name in the float graph.
        stored: Name of its scale and zero point; tensors that share them have the same.
        params: Scale and zero point.
        node: The QuantizeLinear.
    """

    name: str
    stored: str
    params: QuantParams
    node: onnx.NodeProto


def quantized_tensors(model: onnx.ModelProto) -> Iterator[QuantizedTensor]:
    """Yield the quantized activations of a graph in graph order."""
    view = GraphView(model)
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            yield QuantizedTensor(
                name=names.float_tensor(node),
                stored=names.stored_name(node),
                params=QuantParams(
                    scale=float(view.constant(node.input[1]).item()),
                    zero_point=int(view.constant(node.input[2]).item()),
                ),
                node=node,
            )


def has_integer_weight(view: GraphView, conv: onnx.NodeProto) -> bool:
    """Tell whether a convolution's weight is stored as integers."""
    producer = view.producer(conv.input[1])
    return producer is not None and producer.op_type == "DequantizeLinear"


def real_parameter(view: GraphView, name: str) -> FloatArray:
    """Return the real values of a convolution's weight or bias, stored as integers or as floats."""
    scales = parameter_scales(view, name)
    if scales is None:
        return np.asarray(view.constant(name), np.float32)
    producer = view.producer(name)
    assert producer is not None  # it has scales
    integers = np.asarray(view.constant(producer.input[0])).astype(np.float32)
    real: FloatArray = integers * per_channel(scales, integers.ndim)
    return real


def parameter_scales(view: GraphView, name: str) -> FloatArray | None:
    """Return the scales (out_channels,) of a weight or bias; None if it is stored as floats."""
    producer = view.producer(name)
    if producer is None or producer.op_type != "DequantizeLinear":
        return None
    return np.asarray(view.constant(producer.input[1]), np.float32)
