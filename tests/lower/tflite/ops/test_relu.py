"""Lower a Relu or Clip of its own, within 1 LSB of onnxruntime."""

from __future__ import annotations

import pytest
from tflite_graphs import refused


def test_clamp_from_minus_one_on_its_own(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    graph.qdq(graph.activation(x, "Clip", -1.0, 1.0), 0.05, output="out")
    assert "no int8 kernel" in refused(graph, "out")


@pytest.mark.parametrize("clip", ["Relu", "Clip"])
def test_activation_over_a_range_of_almost_zero(qdq_graph, assert_parity, clip):
    """LiteRT fails if 6 / scale overflows int32; the clamp has no effect there, so it is left out."""
    graph = qdq_graph(1)
    x = graph.image((1, 3, 5, 4), scale=1e-9)
    made = graph.op("Add", [x, x], "sum")
    graph.qdq(graph.activation(made, clip), 1e-9, 3, output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize(("kind", "bounds"), [("Relu", ()), ("Clip", (0, 6)), ("Clip", (-2, 1e9))])
@pytest.mark.parametrize("zero_point", [-128, 0])
def test_activation_on_its_own(qdq_graph, assert_parity, kind, bounds, zero_point):
    graph = qdq_graph(1)
    x = graph.image((1, 3, 5, 4), scale=0.06, zero_point=-10)
    if bounds == (-2, 1e9):  # only what the output can hold anyway is kept
        scale, zero_point = 0.03, round(2 / 0.03) - 128
    else:
        scale = 0.05
    graph.qdq(graph.activation(x, kind, *bounds), scale, zero_point, output="out")
    assert_parity(graph.model("out"))
