"""Refuse Q/DQ graphs that an integer engine can't express: one test per reason."""

from __future__ import annotations

import numpy as np
from tflite_graphs import one_conv, refused, scalar


def test_unquantized_input_of_an_op(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    made = graph.op("Add", [graph.conv(x, "conv", (3, 3, 1, 1)), x], "sum")
    graph.qdq(made, 0.1, output="out")
    message = refused(graph, "out")
    assert "'conv' of node 'conv_node' isn't quantized" in message
    assert "Add 'sum_node'" in message


def test_float_operand(qdq_graph):
    graph = qdq_graph()
    graph.image((1, 3, 8, 8))
    graph.qdq(graph.op("Add", ["image", "image"], "sum"), 0.1, output="out")
    assert "reads 'image' in float" in refused(graph, "out")


def test_unquantized_graph_output(qdq_graph):
    graph = qdq_graph()
    graph.conv(graph.image((1, 3, 8, 8)), "conv", (3, 3, 1, 1))
    assert "goes to the graph's output" in refused(graph, "conv")


def test_graph_output_that_is_the_input(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    graph.inputs.append(graph.inputs[0].__class__.FromString(graph.inputs[0].SerializeToString()))
    graph.inputs[1].name = "other"
    graph.qdq(graph.conv(x, "conv", (3, 3, 1, 1)), 0.1, output="out")
    assert "input 'other' isn't quantized" in refused(graph, "out")


def test_tensor_quantized_twice_in_different_ways(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    made = graph.conv(x, "conv", (3, 3, 1, 1))
    first, second = graph.qdq(made, 0.1), graph.qdq(made, 0.2)
    graph.qdq(graph.op("Add", [first, second], "sum"), 0.1, output="out")
    assert "'conv' is quantized twice with different qparams" in refused(graph, "out")


def test_uint8_activation(qdq_graph):
    graph = one_conv(qdq_graph())
    for tensor in graph.initializers:
        if tensor.name.startswith("conv_") and tensor.name.endswith("_z") and tensor.dims == []:
            tensor.CopyFrom(scalar(tensor.name, np.uint8(3)))
    assert "doesn't make an int8 tensor" in refused(graph, "out")


def test_scale_of_zero(qdq_graph):
    assert "isn't positive" in refused(one_conv(qdq_graph(), out_scale=0.0), "out")


def test_weights_quantized_at_run_time(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    weights = graph.qdq(graph.constant("w", np.ones((2, 3, 1, 1), np.float32)), 0.01)
    graph.qdq(graph.op("Conv", [x, weights], "conv"), 0.1, output="out")
    assert "quantizes the constant 'w' at run time" in refused(graph, "out")


def test_dequantized_graph_input(qdq_graph):
    from onnx import TensorProto, helper

    graph = qdq_graph()
    graph.inputs.append(helper.make_tensor_value_info("integers", TensorProto.INT8, [1, 3, 8, 8]))
    graph.constant("s", np.float32(0.1))
    graph.constant("z", np.int8(0))
    graph.op("DequantizeLinear", ["integers", "s", "z"], "real")
    graph.qdq(graph.op("Relu", ["real"], "relu"), 0.1, output="out")
    assert "reads 'integers', a graph input" in refused(graph, "out")
