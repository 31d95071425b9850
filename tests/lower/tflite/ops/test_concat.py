"""Lower Concat, within 1 LSB of onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from tflite_graphs import RELU6, refused


def test_concat_across_layouts(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 8, 8, 8), scale=0.05)
    t = graph.qdq(graph.op("Transpose", [x], "t", perm=[0, 2, 3, 1]), 0.05)
    graph.qdq(graph.op("Concat", [x, t], "made", axis=1), 0.05, output="out")
    assert "lies in memory differently" in refused(graph, "out")


def test_concat_with_a_constant(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    one = graph.constant("one", np.ones((1, 1, 8, 8), np.float32))
    graph.qdq(graph.op("Concat", [x, one], "made", axis=1), 0.05, output="out")
    assert "one of its inputs is constant" in refused(graph, "out")


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concat_of_images(qdq_graph, assert_parity, axis):
    graph = qdq_graph(axis + 5)
    x = graph.image((1, 6, 4, 5), scale=0.05, zero_point=3)
    y = graph.qdq(graph.conv(x, "conv", (6, 6, 1, 1)), 0.05, 3)
    graph.qdq(graph.op("Concat", [x, y, x], "all", axis=axis), 0.05, 3, output="out")
    assert_parity(graph.model("out"), within=1.0)


@pytest.mark.parametrize("levels", [1, 2, 6])
def test_head_tail(qdq_graph, assert_parity, levels):
    """Conv → Transpose → Reshape → Concat, as every SSD head ends."""
    graph = qdq_graph(levels)
    x = graph.image((1, 8, 9, 7), scale=RELU6, zero_point=-128)
    parts = []
    for level in range(levels):
        made = graph.qdq(graph.conv(x, f"head{level}", (12, 8, 1, 1)), 0.08, -7)
        made = graph.qdq(graph.op("Transpose", [made], f"t{level}", perm=[0, 2, 3, 1]), 0.08, -7)
        shape = graph.constant(f"shape{level}", np.array([1, -1, 4]))
        parts.append(graph.qdq(graph.op("Reshape", [made, shape], f"r{level}"), 0.08, -7))
    graph.qdq(graph.op("Concat", parts, "all", axis=1), 0.08, -7, output="out")
    lowered = assert_parity(graph.model("out"))
    assert lowered.outputs[0].shape == (1, levels * 9 * 7 * 3, 4)
