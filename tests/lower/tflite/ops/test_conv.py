"""Lower Conv: LiteRT's kernels compute what onnxruntime does, within 1 LSB."""

from __future__ import annotations

import pytest
from tflite_graphs import CONVS, RELU6, SAME_3X3, random_qparams, refused


def test_grouped_convolution(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 6, 8, 8))
    graph.qdq(graph.conv(x, "conv", (4, 3, 1, 1), group=2), 0.1, output="out")
    message = refused(graph, "out")
    assert "Conv node 'conv_node'" in message
    assert "2 groups for 6 channels" in message


def test_convolution_of_something_that_is_no_image(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    x = graph.qdq(graph.op("Transpose", [x], "t", perm=[0, 2, 3, 1]), 0.05)
    graph.qdq(graph.conv(x, "conv", (4, 8, 1, 1)), 0.05, output="out")
    assert "isn't an NCHW image" in refused(graph, "out")


@pytest.mark.parametrize("window", CONVS, ids=str)
@pytest.mark.parametrize(("channels", "outputs"), [(1, 1), (3, 16), (13, 7)])
def test_conv(qdq_graph, assert_parity, window, channels, outputs):
    kernel, stride, pads, size = window
    seed = kernel * 100 + stride * 10 + channels
    graph = qdq_graph(seed)
    scale, zero_point = random_qparams(graph.random)
    x = graph.image((1, channels, *size), scale=scale, zero_point=zero_point)
    shape = (outputs, channels, kernel, kernel)
    made = graph.conv(x, "conv", shape, strides=[stride, stride], pads=pads)
    out_scale = scale * kernel * channels**0.5 * float(graph.random.uniform(0.2, 1))
    graph.qdq(made, out_scale, int(graph.random.integers(-128, 128)), output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize("clip", ["Relu", "Clip"])
@pytest.mark.parametrize("zero_point", [-128, -90, 0])
@pytest.mark.parametrize("group", [1, 8])
def test_conv_with_activation(qdq_graph, assert_parity, clip, zero_point, group):
    graph = qdq_graph(zero_point + 200)
    x = graph.image((1, 8, 9, 9), scale=RELU6, zero_point=-128)
    made = graph.conv(x, "conv", (8, 8 // group, 3, 3), clip=clip, group=group, pads=SAME_3X3)
    graph.qdq(made, 0.04, zero_point, output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dilation", [1, 2])
def test_conv_with_dilation_and_without_bias(qdq_graph, assert_parity, bias, dilation):
    graph = qdq_graph(dilation)
    x = graph.image((1, 5, 12, 10))
    pads = [dilation] * 4
    made = graph.conv(x, "conv", (6, 5, 3, 3), bias=bias, pads=pads, dilations=[dilation] * 2)
    graph.qdq(made, 0.02, 5, output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_conv_with_auto_pad(qdq_graph, assert_parity, auto_pad, size):
    graph = qdq_graph(1)
    x = graph.image((1, 3, *size))
    made = graph.conv(x, "conv", (4, 3, 3, 3), auto_pad=auto_pad, strides=[2, 2])
    graph.qdq(made, 0.02, 5, output="out")
    assert_parity(graph.model("out"))
