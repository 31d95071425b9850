"""Refuse weights and biases that an int8 kernel can't compute with."""

from __future__ import annotations

import numpy as np
import pytest
from tflite_graphs import conv_with, refused


def test_float_weights(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    weights = graph.constant("w", np.ones((2, 3, 1, 1), np.float32))
    graph.qdq(graph.op("Conv", [x, weights], "conv"), 0.1, output="out")
    assert "weights are plain float32" in refused(graph, "out")


def test_computed_weights(qdq_graph):
    graph = qdq_graph()
    x = graph.image((3, 3, 1, 1))
    graph.qdq(graph.op("Conv", [x, x], "conv"), 0.1, output="out")
    assert "is computed and must be constant" in refused(graph, "out")


def test_symmetric_schemes_float_bias(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    weights = graph.weights("w", np.ones((2, 3, 1, 1), np.int8), np.float32([0.1, 0.2]))
    bias = graph.constant("b", np.float32([1, 2]))
    graph.qdq(graph.op("Conv", [x, weights, bias], "conv"), 0.1, output="out")
    message = refused(graph, "out")
    assert "bias values are plain float32" in message
    assert "scheme 'affine'" in message


def test_weights_with_zero_point(qdq_graph):
    assert "zero point of its weights isn't 0" in refused(
        conv_with(qdq_graph(), zero_point=3), "out"
    )


def test_weights_along_another_axis(qdq_graph):
    graph = conv_with(qdq_graph(), np.ones((2, 2, 1, 1), np.int8), axis=1)
    graph.inputs[0].type.tensor_type.shape.dim[1].dim_value = 2
    assert "along axis 1" in refused(graph, "out")


def test_weights_at_minus_128(qdq_graph):
    weights = np.full((2, 3, 1, 1), -128, np.int8)
    assert "hold -128" in refused(conv_with(qdq_graph(), weights), "out")


def test_bias_at_another_scale(qdq_graph):
    graph = conv_with(qdq_graph(), bias=[1, 2], bias_scale=[0.01 / 128, 0.02 / 128])
    assert "bias of channel 1 has scale" in refused(graph, "out")


def test_accumulator_overflow(qdq_graph):
    """The int32 overflow that LiteRT reports as a failed allocation, or doesn't report at all."""
    message = refused(conv_with(qdq_graph(), bias=[5, 2**31 - 300]), "out")
    assert "accumulator of channel 1" in message
    assert "near-zero range" in message


@pytest.mark.parametrize("weight_scale", [1e-13, 1e3])
def test_multiplier_out_of_reach(qdq_graph, weight_scale):
    graph = conv_with(qdq_graph(), weight_scale=[0.01, weight_scale])
    assert "of channel 1 is" in refused(graph, "out")
