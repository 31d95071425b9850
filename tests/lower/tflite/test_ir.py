"""Refuse operators that only move values and would have to compute."""

from __future__ import annotations

import numpy as np
import pytest
from tflite_graphs import refused


@pytest.mark.parametrize("op_type", ["Concat", "Pad", "Reshape", "Transpose"])
@pytest.mark.parametrize("fault", ["qparams", "activation"])
def test_moving_values_keeps_them(qdq_graph, op_type, fault):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    if op_type == "Concat":
        made = graph.op("Concat", [x, x], "made", axis=1)
    elif op_type == "Pad":
        made = graph.op("Pad", [x, graph.constant("p", np.array([0] * 6 + [1, 1]))], "made")
    elif op_type == "Transpose":
        made = graph.op("Transpose", [x], "made", perm=[0, 2, 3, 1])
    else:
        made = graph.op("Reshape", [x, graph.constant("s", np.array([1, -1]))], "made")
    if fault == "activation":
        graph.qdq(graph.activation(made, "Relu"), 0.05, output="out")
        assert "can't fuse" in refused(graph, "out") or op_type == "Transpose"
    else:
        graph.qdq(made, 0.06, output="out")
        message = refused(graph, "out")
        assert "one scale and zero point on both sides" in message
        assert "Merge the ranges" in message


def test_op_on_a_constant(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 4, 4), scale=0.05)
    one = graph.constant("one", np.ones((1, 3, 4, 4), np.float32))
    made = graph.qdq(graph.op("Relu", [one], "made"), 0.05)
    graph.qdq(graph.op("Add", [x, made], "sum"), 0.05, output="out")
    assert "its input 0 isn't a quantized activation" in refused(graph, "out")
