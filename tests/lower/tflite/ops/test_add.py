"""Lower Add, within 1 LSB of onnxruntime."""

from __future__ import annotations

import pytest
from tflite_graphs import random_qparams, refused


def test_add_that_broadcasts(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    y = graph.qdq(graph.op("GlobalAveragePool", [x], "pool"), 0.05)
    graph.qdq(graph.op("Add", [x, y], "sum"), 0.05, output="out")
    assert "broadcasting isn't lowered" in refused(graph, "out")


def test_add_whose_sums_would_be_wrong(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05 * 256)
    graph.qdq(graph.op("Add", [x, x], "sum"), 0.05, output="out")
    assert "is 256 times its output's" in refused(graph, "out")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("clip", [None, "Relu", "Clip"])
def test_add(qdq_graph, assert_parity, seed, clip):
    graph = qdq_graph(seed)
    x = graph.image((1, 7, 6, 5), scale=0.05, zero_point=int(graph.random.integers(-128, 128)))
    y = graph.qdq(graph.conv(x, "conv", (7, 7, 1, 1)), *random_qparams(graph.random))
    made = graph.op("Add", [x, y], "sum")
    if clip:
        made = graph.activation(made, clip)
    graph.qdq(made, *random_qparams(graph.random, 0.05, 0.3), output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize("ratio", [1e-6, 2.0**-11, 2.0**-3, 2.0**5, 2.0**7.9])
def test_add_of_scales_far_apart(qdq_graph, assert_parity, ratio):
    graph = qdq_graph(1)
    x = graph.image((1, 7, 6, 5), scale=0.05, zero_point=3)
    # a Relu keeps the second input from being the first one again
    y = graph.qdq(graph.activation(x, "Relu"), 0.05, 3)
    scale = 0.05 / ratio
    graph.qdq(graph.op("Add", [x, y], "sum"), scale, 1, output="out")
    assert_parity(graph.model("out"))
