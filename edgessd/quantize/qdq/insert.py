"""Insert QuantizeLinear and DequantizeLinear nodes into a float graph.

Every lowering reads this form: one Q/DQ pair a tensor, shared by its readers; weights as int8 initializers
with a per-channel DequantizeLinear; biases as int32 with a DequantizeLinear of their own, or as float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from edgessd.core.arrays import FloatArray
from edgessd.core.tensors import QuantParams
from edgessd.graph.view import GraphView, copy_of, replace_nodes, set_initializer
from edgessd.quantize.qdq import names
from edgessd.quantize.qparams import Int8Array, bias_scales, quantize_bias


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConvParams:
    """Integer parameters of a Conv.

    Attributes:
        weight: int8 (out_channels, in_channels / group, kh, kw).
        scales: float32 (out_channels,) of the weight.
        bias: float32 (out_channels,).
        bias_input: Parameters of the Conv's input, if the bias becomes int32; None if it stays float.
    """

    weight: Int8Array
    scales: FloatArray
    bias: np.ndarray
    bias_input: QuantParams | None


def insert_qdq(
    model: onnx.ModelProto,
    activations: Mapping[str, tuple[str, QuantParams]],
    convolutions: Mapping[str, ConvParams],
) -> onnx.ModelProto:
    """Return the quantized form of a float graph.

    Args:
        model: Float model, every Conv with its own weight and bias.
        activations: Name under which the parameters are stored, and the parameters, by tensor name.
        convolutions: Integer parameters by Conv name.

    Returns:
        A graph with the same input and outputs, still float32.
    """
    outputs = set(GraphView(model).outputs)
    model = copy_of(model)
    for stored, params in dict(activations.values()).items():
        set_initializer(model, names.scale(stored), np.array(params.scale, np.float32))
        set_initializer(model, names.zero_point(stored), np.array(params.zero_point, np.int8))
    nodes: list[onnx.NodeProto] = []
    replaced: dict[str, str] = {}  # tensor → tensor that its readers read instead
    for value in model.graph.input:
        if value.name in activations:
            nodes += _pair(value.name, value.name, activations[value.name][0])
            replaced[value.name] = names.dequantized(value.name)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = replaced.get(name, name)
        if node.name in convolutions:
            nodes += _conv_parameters(model, node, convolutions[node.name])
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name not in activations:
                continue
            made = name
            if name in outputs:  # the graph output is what the DequantizeLinear writes
                made = node.output[index] = names.real(name)
            nodes += _pair(name, made, activations[name][0], is_output=name in outputs)
            replaced[name] = name if name in outputs else names.dequantized(name)
    replace_nodes(model, nodes)
    return model


def _pair(name: str, source: str, stored: str, *, is_output: bool = False) -> list[onnx.NodeProto]:
    """Make the Q and DQ nodes of an activation."""
    integers = names.quantized(name)
    rounded = name if is_output else names.dequantized(name)
    parameters = [names.scale(stored), names.zero_point(stored)]
    return [
        helper.make_node(
            "QuantizeLinear", [source, *parameters], [integers], names.quantizer(name)
        ),
        helper.make_node(
            "DequantizeLinear", [integers, *parameters], [rounded], names.dequantizer(name)
        ),
    ]


def _conv_parameters(
    model: onnx.ModelProto, conv: onnx.NodeProto, params: ConvParams
) -> list[onnx.NodeProto]:
    """Make the DequantizeLinear of the weight, and of an integer bias, and let the Conv read them."""
    weight, bias = conv.input[1], conv.input[2]
    nodes = [_stored(model, weight, params.weight, params.scales)]
    conv.input[1] = names.dequantized(weight)
    if params.bias_input is None:
        set_initializer(model, bias, params.bias.astype(np.float32))
        return nodes
    scales = bias_scales(params.bias_input, params.scales)
    nodes.append(_stored(model, bias, quantize_bias(params.bias, scales), scales))
    conv.input[2] = names.dequantized(bias)
    return nodes


def _stored(
    model: onnx.ModelProto, name: str, integers: np.ndarray, scales: np.ndarray
) -> onnx.NodeProto:
    """Store integers with per-channel scales and zero points, and make their DequantizeLinear."""
    parts = [names.quantized(name), names.scale(name), names.zero_point(name)]
    set_initializer(model, parts[0], integers)
    set_initializer(model, parts[1], scales)
    set_initializer(model, parts[2], np.zeros(len(scales), integers.dtype))
    return helper.make_node(
        "DequantizeLinear", parts, [names.dequantized(name)], names.dequantizer(name), axis=0
    )
