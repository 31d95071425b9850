"""Lower Pad, within 1 LSB of onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from tflite_graphs import refused


def test_negative_pad_op(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    pads = graph.constant("pads", np.array([0, 0, -1, 0, 0, 0, 0, 0]))
    graph.qdq(graph.op("Pad", [x, pads], "pad"), 1 / 128, output="out")
    assert "crops its input" in refused(graph, "out")


def test_pad_that_reflects(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    pads = graph.constant("pads", np.array([0, 0, 1, 0, 0, 0, 0, 0]))
    graph.qdq(graph.op("Pad", [x, pads], "pad", mode="reflect"), 1 / 128, output="out")
    assert "its mode is 'reflect'" in refused(graph, "out")


@pytest.mark.parametrize("pads", [[0, 0, 1, 2, 0, 0, 3, 0], [0, 1, 0, 0, 0, 2, 0, 1]])
@pytest.mark.parametrize("fill", [None, 0.0, -1.5])
def test_pad(qdq_graph, assert_parity, pads, fill):
    graph = qdq_graph(1)
    x = graph.image((1, 3, 5, 4), scale=0.03, zero_point=20)
    inputs = [x, graph.constant("pads", np.array(pads))]
    if fill is not None:
        inputs.append(graph.constant("fill", np.float32(fill)))
    graph.qdq(graph.op("Pad", inputs, "pad"), 0.03, 20, output="out")
    assert_parity(graph.model("out"), within=1.0)
