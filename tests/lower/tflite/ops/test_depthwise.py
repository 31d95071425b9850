"""Lower a depthwise Conv, within 1 LSB of onnxruntime."""

from __future__ import annotations

import pytest
from tflite_graphs import CONVS, random_qparams


@pytest.mark.parametrize("window", [w for w in CONVS if w[0] > 1], ids=str)
@pytest.mark.parametrize(("channels", "multiplier"), [(2, 1), (9, 1), (32, 1), (3, 2)])
def test_depthwise(qdq_graph, assert_parity, window, channels, multiplier):
    kernel, stride, pads, size = window
    graph = qdq_graph(kernel * 100 + stride * 10 + channels)
    scale, zero_point = random_qparams(graph.random)
    x = graph.image((1, channels, *size), scale=scale, zero_point=zero_point)
    shape = (channels * multiplier, 1, kernel, kernel)
    made = graph.conv(x, "dw", shape, group=channels, strides=[stride, stride], pads=pads)
    out_scale = scale * kernel * float(graph.random.uniform(0.5, 1.5))
    graph.qdq(made, out_scale, int(graph.random.integers(-128, 128)), output="out")
    assert_parity(graph.model("out"))
