"""Lower MaxPool, within 1 LSB of onnxruntime."""

from __future__ import annotations

import pytest
from tflite_graphs import OTHER_POOLS, TENSORFLOW_POOLS, pool, refused


def test_max_pool_with_another_scale(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    graph.qdq(graph.op("MaxPool", [x], "pool", kernel_shape=[2, 2]), 0.06, output="out")
    assert "one scale and zero point on both sides" in refused(graph, "out")


@pytest.mark.parametrize(("window", "size"), TENSORFLOW_POOLS + OTHER_POOLS)
@pytest.mark.parametrize("zero_point", [0, -128])
def test_max_pool(qdq_graph, assert_parity, window, size, zero_point):
    assert_parity(pool(qdq_graph(), "MaxPool", window, size, zero_point), within=1.0)
