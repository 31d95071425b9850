"""Parameters read off a Q/DQ graph are those that were inserted."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.tensors import QuantParams
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import GraphView
from edgessd.quantize.qdq.insert import ConvParams, insert_qdq
from edgessd.quantize.qdq.names import float_name
from edgessd.quantize.qdq.read import (
    has_integer_weight,
    parameter_scales,
    quantized_tensors,
    real_parameter,
)

CONV = "backbone.blocks.3.project.conv"
PARAMS = QuantParams(scale=0.25, zero_point=-3)
IMAGE = QuantParams(scale=1 / 128)


def test_activations_of_inputs_outputs_and_inner_tensors(small_graph: FloatGraph) -> None:
    activations = {
        "image": ("image", IMAGE),
        CONV: ("shared", PARAMS),
        "box_codes": ("shared", PARAMS),
    }
    found = list(quantized_tensors(insert_qdq(small_graph.model, activations, {})))
    assert [(tensor.name, (tensor.stored, tensor.params)) for tensor in found] == list(
        activations.items()
    )


@pytest.mark.parametrize("bias_input", [None, IMAGE])
def test_parameters_of_a_convolution(
    small_graph: FloatGraph, bias_input: QuantParams | None
) -> None:
    before = GraphView(small_graph.model)
    node = next(node for node in small_graph.model.graph.node if node.name == CONV)
    weight, bias = (np.asarray(before.constant(name), np.float32) for name in node.input[1:3])
    scales = np.full(len(weight), 2.0**-7, np.float32)
    integers = np.random.default_rng(0).integers(-127, 128, weight.shape, dtype=np.int8)
    params = ConvParams(weight=integers, scales=scales, bias=bias, bias_input=bias_input)
    model = insert_qdq(small_graph.model, {}, {CONV: params})
    view = GraphView(model)
    convs = {node.name: node for node in model.graph.node if node.op_type == "Conv"}
    assert [name for name, conv in convs.items() if has_integer_weight(view, conv)] == [CONV]
    stored_weight, stored_bias = convs[CONV].input[1:3]
    assert [float_name(name) for name in convs[CONV].input[1:3]] == list(node.input[1:3])
    np.testing.assert_array_equal(real_parameter(view, stored_weight), integers * np.float32(2**-7))
    np.testing.assert_allclose(real_parameter(view, stored_bias), bias, atol=2.0**-14)
    np.testing.assert_array_equal(parameter_scales(view, stored_weight), scales)
    assert (parameter_scales(view, stored_bias) is None) == (bias_input is None)
