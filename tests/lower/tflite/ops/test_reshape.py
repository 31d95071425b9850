"""Lower Reshape and Flatten, within 1 LSB of onnxruntime."""

from __future__ import annotations

import numpy as np
from tflite_graphs import refused


def test_reshape_across_the_layout(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    shape = graph.constant("shape", np.array([1, -1, 4]))
    graph.qdq(graph.op("Reshape", [x, shape], "made"), 0.05, output="out")
    assert "a Transpose to NHWC" in refused(graph, "out")


def test_flatten_after_global_average_pool(qdq_graph, assert_parity):
    graph = qdq_graph(1)
    x = graph.image((1, 11, 6, 7), scale=0.05, zero_point=-10)
    x = graph.qdq(graph.op("GlobalAveragePool", [x], "pool"), 0.05, -10)
    graph.qdq(graph.op("Flatten", [x], "flat"), 0.05, -10, output="out")
    assert assert_parity(graph.model("out")).outputs[0].shape == (1, 11)
