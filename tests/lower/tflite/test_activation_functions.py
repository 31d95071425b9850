"""Refuse a clamp that TFLite has no name for."""

from __future__ import annotations

from tflite_graphs import refused


def test_clamp_without_a_name(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    made = graph.activation(graph.conv(x, "conv", (3, 3, 1, 1)), "Clip", 0.0, 4.0)
    graph.qdq(made, 0.05, -100, output="out")
    assert "can't fuse a clamp from 0 to 4" in refused(graph, "out")
