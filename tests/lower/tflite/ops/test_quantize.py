"""Lower a second Q/DQ pair to QUANTIZE, within 1 LSB of onnxruntime."""

from __future__ import annotations

import pytest
from tflite_graphs import random_qparams, refused


@pytest.mark.parametrize("activation", [None, "Relu"])
def test_conversion_that_would_overflow(qdq_graph, activation):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=2.0**20)
    graph.qdq(graph.activation(x, activation) if activation else x, 1.0, output="out")
    assert "is 1.04858e+06 times its output's" in refused(graph, "out")


@pytest.mark.parametrize("ratio", [1e-9, 1e-3, 1e2, 2.0**18])
@pytest.mark.parametrize("activation", [None, "Relu"])
def test_conversion_to_a_scale_far_away(qdq_graph, assert_parity, ratio, activation):
    graph = qdq_graph(1)
    x = graph.image((1, 3, 5, 4), scale=0.05 * ratio, zero_point=3)
    graph.qdq(graph.activation(x, activation) if activation else x, 0.05, -9, output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize("seed", range(6))
def test_second_qdq_pair_becomes_quantize(qdq_graph, assert_parity, seed):
    graph = qdq_graph(seed)
    scale, zero_point = random_qparams(graph.random)
    x = graph.image((1, 3, 5, 4), scale=scale, zero_point=zero_point)
    graph.qdq(x, *random_qparams(graph.random), output="out")
    assert_parity(graph.model("out"))
