"""Lower AveragePool and GlobalAveragePool, within 1 LSB of onnxruntime."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tflite_graphs import OTHER_POOLS, TENSORFLOW_POOLS, pool

from edgessd.core.errors import LoweringError


def test_average_pool_with_dilation(qdq_graph):

    from edgessd.lower.tflite.flatbuffer import ModelBuilder
    from edgessd.lower.tflite.graph_reader import read_network
    from edgessd.lower.tflite.ops import avg_pool

    graph = qdq_graph()  # opset 19 has the attribute; the graphs here are opset 17
    x = graph.image((1, 3, 9, 9), scale=0.05)
    graph.qdq(graph.op("AveragePool", [x], "made", kernel_shape=[2, 2]), 0.05, output="out")
    (node,) = read_network(graph.model("out")).nodes
    node = replace(node, attributes={**node.attributes, "dilations": [2, 2]})
    with pytest.raises(LoweringError, match="dilations are"):
        avg_pool.lower(node, ModelBuilder())


@pytest.mark.parametrize(("window", "size"), TENSORFLOW_POOLS)
@pytest.mark.parametrize("zero_point", [0, -128])
def test_average_pool(qdq_graph, assert_parity, window, size, zero_point):
    assert_parity(pool(qdq_graph(), "AveragePool", window, size, zero_point))


@pytest.mark.parametrize(("window", "size"), OTHER_POOLS)
@pytest.mark.parametrize("zero_point", [0, -128])
def test_average_pool_counting_its_padding(qdq_graph, assert_parity, window, size, zero_point):
    model = pool(qdq_graph(), "AveragePool", window, size, zero_point, count_include_pad=1)
    assert_parity(model)


@pytest.mark.parametrize("same_qparams", [True, False])
def test_global_average_pool(qdq_graph, assert_parity, same_qparams):
    graph = qdq_graph(1)
    x = graph.image((1, 11, 6, 7), scale=0.05, zero_point=-10)
    scale, zero_point = (0.05, -10) if same_qparams else (0.02, 4)
    graph.qdq(graph.op("GlobalAveragePool", [x], "pool"), scale, zero_point, output="out")
    assert_parity(graph.model("out"))
