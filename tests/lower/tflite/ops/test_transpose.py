"""Refuse a Transpose that moves data or has an activation function."""

from __future__ import annotations

from tflite_graphs import refused


def test_transpose_with_activation(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    made = graph.op("Transpose", [x], "made", perm=[0, 2, 3, 1])
    graph.qdq(graph.activation(made, "Relu"), 0.05, output="out")
    assert "nothing can fuse" in refused(graph, "out")
