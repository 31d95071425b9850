"""Every guard of the lowering, each with a graph that it must stop."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.errors import LoweringError
from edgessd.lower.tflite.lower import lower_network


def refused(graph, *outputs, **options):
    with pytest.raises(LoweringError) as caught:
        lower_network(graph.model(*outputs), **options)
    return str(caught.value)


def one_conv(graph, shape=(4, 3, 3, 3), out_scale=0.03, **attributes):
    x = graph.image((1, 3, 8, 8))
    graph.qdq(graph.conv(x, "conv", shape, **attributes), out_scale, 0, output="out")
    return graph


def conv_with(
    graph, weights=None, weight_scale=None, bias=None, bias_scale=None, out_scale=0.03, **qdq
):
    """A 1x1 Conv on 3 channels with 2 outputs whose constants can be wrong one at a time."""
    x = graph.image((1, 3, 4, 4))
    weights = np.ones((2, 3, 1, 1), np.int8) if weights is None else weights
    scale = np.full(2, 0.01, np.float32) if weight_scale is None else np.float32(weight_scale)
    inputs = [x, graph.weights("w", weights, scale, **qdq)]
    if bias is not None:
        bias_scale = scale / 128 if bias_scale is None else np.float32(bias_scale)
        inputs.append(graph.weights("b", np.asarray(bias, np.int32), bias_scale))
    graph.qdq(graph.op("Conv", inputs, "conv"), out_scale, 0, output="out")
    return graph


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


def test_two_inputs(qdq_graph):
    graph = qdq_graph()
    x, y = graph.image((1, 3, 8, 8)), graph.image((1, 3, 8, 8), name="other")
    graph.qdq(graph.op("Add", [x, y], "sum"), 0.1, output="out")
    assert "must have one input" in refused(graph, "out")


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
            tensor.CopyFrom(_scalar(tensor.name, np.uint8(3)))
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


def test_grouped_convolution(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 6, 8, 8))
    graph.qdq(graph.conv(x, "conv", (4, 3, 1, 1), group=2), 0.1, output="out")
    message = refused(graph, "out")
    assert "Conv node 'conv_node'" in message
    assert "2 groups for 6 channels" in message


def test_float_weights(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    weights = graph.constant("w", np.ones((2, 3, 1, 1), np.float32))
    graph.qdq(graph.op("Conv", [x, weights], "conv"), 0.1, output="out")
    assert "weights are plain float32" in refused(graph, "out")


def test_computed_weights(qdq_graph):
    graph = qdq_graph()
    x = graph.image((3, 3, 1, 1))
    graph.qdq(graph.op("Conv", [x, x], "conv"), 0.1, output="out")
    assert "is computed and must be constant" in refused(graph, "out")


def test_symmetric_schemes_float_bias(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    weights = graph.weights("w", np.ones((2, 3, 1, 1), np.int8), np.float32([0.1, 0.2]))
    bias = graph.constant("b", np.float32([1, 2]))
    graph.qdq(graph.op("Conv", [x, weights, bias], "conv"), 0.1, output="out")
    message = refused(graph, "out")
    assert "bias values are plain float32" in message
    assert "scheme 'affine'" in message


def test_weights_with_zero_point(qdq_graph):
    assert "zero point of its weights isn't 0" in refused(
        conv_with(qdq_graph(), zero_point=3), "out"
    )


def test_weights_along_another_axis(qdq_graph):
    graph = conv_with(qdq_graph(), np.ones((2, 2, 1, 1), np.int8), axis=1)
    graph.inputs[0].type.tensor_type.shape.dim[1].dim_value = 2
    assert "along axis 1" in refused(graph, "out")


def test_weights_at_minus_128(qdq_graph):
    weights = np.full((2, 3, 1, 1), -128, np.int8)
    assert "hold -128" in refused(conv_with(qdq_graph(), weights), "out")


def test_bias_at_another_scale(qdq_graph):
    graph = conv_with(qdq_graph(), bias=[1, 2], bias_scale=[0.01 / 128, 0.02 / 128])
    assert "bias of channel 1 has scale" in refused(graph, "out")


def test_accumulator_overflow(qdq_graph):
    """The int32 overflow that LiteRT reports as a failed allocation, or doesn't report at all."""
    message = refused(conv_with(qdq_graph(), bias=[5, 2**31 - 300]), "out")
    assert "accumulator of channel 1" in message
    assert "near-zero range" in message


@pytest.mark.parametrize("weight_scale", [1e-13, 1e3])
def test_multiplier_out_of_reach(qdq_graph, weight_scale):
    graph = conv_with(qdq_graph(), weight_scale=[0.01, weight_scale])
    assert "of channel 1 is" in refused(graph, "out")


@pytest.mark.parametrize(
    ("op_type", "attributes", "why"),
    [
        (
            "AveragePool",
            {"kernel_shape": [3, 3], "pads": [1, 0, 0, 1]},
            "doesn't count in the mean",
        ),
        (
            "AveragePool",
            {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
            "never counts in the mean",
        ),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, "ceil_mode=1"),
        ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2]}, "dilations are (2, 2)"),
        ("Transpose", {"perm": [0, 1, 3, 2]}, "which moves data"),
        ("Sigmoid", {}, "there is no lowering for this op"),
    ],
)
def test_ops_and_attributes_without_a_kernel(qdq_graph, op_type, attributes, why):
    graph = qdq_graph()
    x = graph.image((1, 3, 9, 9), scale=0.05)
    graph.qdq(graph.op(op_type, [x], "made", **attributes), 0.05, output="out")
    message = refused(graph, "out")
    assert f"{op_type} node 'made_node'" in message
    assert why in message


def test_average_pool_with_dilation(qdq_graph):
    from dataclasses import replace

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


@pytest.mark.parametrize("op_type", ["Conv", "MaxPool"])
def test_negative_padding(qdq_graph, op_type):
    """onnx's shape inference refuses it before any op is read, so the op is asked directly."""
    from dataclasses import replace

    from edgessd.lower.tflite.graph_reader import read_network
    from edgessd.lower.tflite.windows import read_window

    (node,) = read_network(one_conv(qdq_graph()).model("out")).nodes
    node = replace(node, op_type=op_type, attributes={"pads": [-1, 0, 0, 0]})
    with pytest.raises(LoweringError, match="crops its input"):
        read_window(node, (3, 3))


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


def test_transpose_with_activation(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    made = graph.op("Transpose", [x], "made", perm=[0, 2, 3, 1])
    graph.qdq(graph.activation(made, "Relu"), 0.05, output="out")
    assert "nothing can fuse" in refused(graph, "out")


def test_max_pool_with_another_scale(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    graph.qdq(graph.op("MaxPool", [x], "pool", kernel_shape=[2, 2]), 0.06, output="out")
    assert "one scale and zero point on both sides" in refused(graph, "out")


def test_reshape_across_the_layout(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    shape = graph.constant("shape", np.array([1, -1, 4]))
    graph.qdq(graph.op("Reshape", [x, shape], "made"), 0.05, output="out")
    assert "a Transpose to NHWC" in refused(graph, "out")


def test_convolution_of_something_that_is_no_image(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    x = graph.qdq(graph.op("Transpose", [x], "t", perm=[0, 2, 3, 1]), 0.05)
    graph.qdq(graph.conv(x, "conv", (4, 8, 1, 1)), 0.05, output="out")
    assert "isn't an NCHW image" in refused(graph, "out")


def test_concat_across_layouts(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 8, 8, 8), scale=0.05)
    t = graph.qdq(graph.op("Transpose", [x], "t", perm=[0, 2, 3, 1]), 0.05)
    graph.qdq(graph.op("Concat", [x, t], "made", axis=1), 0.05, output="out")
    assert "lies in memory differently" in refused(graph, "out")


def test_concat_with_a_constant(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    one = graph.constant("one", np.ones((1, 1, 8, 8), np.float32))
    graph.qdq(graph.op("Concat", [x, one], "made", axis=1), 0.05, output="out")
    assert "one of its inputs is constant" in refused(graph, "out")


def test_op_on_a_constant(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 4, 4), scale=0.05)
    one = graph.constant("one", np.ones((1, 3, 4, 4), np.float32))
    made = graph.qdq(graph.op("Relu", [one], "made"), 0.05)
    graph.qdq(graph.op("Add", [x, made], "sum"), 0.05, output="out")
    assert "its input 0 isn't a quantized activation" in refused(graph, "out")


def test_add_that_broadcasts(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    y = graph.qdq(graph.op("GlobalAveragePool", [x], "pool"), 0.05)
    graph.qdq(graph.op("Add", [x, y], "sum"), 0.05, output="out")
    assert "broadcasting isn't lowered" in refused(graph, "out")


def test_add_whose_sums_would_be_wrong(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05 * 256)
    graph.qdq(graph.op("Add", [x, x], "sum"), 0.05, output="out")
    assert "is 256 times its output's" in refused(graph, "out")


@pytest.mark.parametrize("activation", [None, "Relu"])
def test_conversion_that_would_overflow(qdq_graph, activation):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=2.0**20)
    graph.qdq(graph.activation(x, activation) if activation else x, 1.0, output="out")
    assert "is 1.04858e+06 times its output's" in refused(graph, "out")


def test_clamp_without_a_name(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8))
    made = graph.activation(graph.conv(x, "conv", (3, 3, 1, 1)), "Clip", 0.0, 4.0)
    graph.qdq(made, 0.05, -100, output="out")
    assert "can't fuse a clamp from 0 to 4" in refused(graph, "out")


def test_clamp_from_minus_one_on_its_own(qdq_graph):
    graph = qdq_graph()
    x = graph.image((1, 3, 8, 8), scale=0.05)
    graph.qdq(graph.activation(x, "Clip", -1.0, 1.0), 0.05, output="out")
    assert "no int8 kernel" in refused(graph, "out")


def _scalar(name, value):
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(value), name)
