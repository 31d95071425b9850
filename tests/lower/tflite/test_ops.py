"""Each op alone: LiteRT's reference kernels and XNNPACK against onnxruntime, within 1 LSB."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

RELU6 = 6 / 255


def random_qparams(random, low=0.02, high=0.2):
    return float(random.uniform(low, high)), int(random.integers(-128, 128))


SAME_EVEN_3X3_S2 = [0, 0, 1, 1]
SAME_3X3 = [1, 1, 1, 1]
VALID = [0, 0, 0, 0]

CONVS = [
    # kernel, stride, pads, size
    (1, 1, VALID, (7, 9)),
    (1, 2, VALID, (9, 8)),
    (3, 1, SAME_3X3, (8, 11)),
    (3, 2, SAME_EVEN_3X3_S2, (10, 12)),
    (3, 2, SAME_3X3, (9, 11)),
    (3, 2, SAME_3X3, (10, 12)),  # symmetric on an even size: needs a PAD op
    (3, 1, VALID, (8, 5)),
    (3, 2, VALID, (8, 9)),
    (3, 1, [0, 2, 1, 0], (6, 6)),
    (5, 2, [2, 2, 2, 2], (11, 9)),
    (2, 2, VALID, (7, 6)),
]


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


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("clip", [None, "Relu", "Clip"])
def test_add(qdq_graph, assert_parity, seed, clip):
    graph = qdq_graph(seed)
    x = graph.image((1, 7, 6, 5), scale=0.05, zero_point=int(graph.random.integers(-128, 128)))
    y = graph.qdq(graph.conv(x, "conv", (7, 7, 1, 1)), *random_qparams(graph.random))
    made = graph.op("Add", [x, y], "sum")
    if clip:
        made = graph.activation(made, clip)
    graph.qdq(made, *random_qparams(graph.random, 0.05, 0.3), output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize("ratio", [1e-6, 2.0**-11, 2.0**-3, 2.0**5, 2.0**7.9])
def test_add_of_scales_far_apart(qdq_graph, assert_parity, ratio):
    graph = qdq_graph(1)
    x = graph.image((1, 7, 6, 5), scale=0.05, zero_point=3)
    # a Relu keeps the second input from being the first one again
    y = graph.qdq(graph.activation(x, "Relu"), 0.05, 3)
    scale = 0.05 / ratio
    graph.qdq(graph.op("Add", [x, y], "sum"), scale, 1, output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize("ratio", [1e-9, 1e-3, 1e2, 2.0**18])
@pytest.mark.parametrize("activation", [None, "Relu"])
def test_conversion_to_a_scale_far_away(qdq_graph, assert_parity, ratio, activation):
    graph = qdq_graph(1)
    x = graph.image((1, 3, 5, 4), scale=0.05 * ratio, zero_point=3)
    graph.qdq(graph.activation(x, activation) if activation else x, 0.05, -9, output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize("clip", ["Relu", "Clip"])
def test_activation_over_a_range_of_almost_zero(qdq_graph, assert_parity, clip):
    """LiteRT fails where 6 / scale overflows int32; the clamp says nothing there, so it's left out."""
    graph = qdq_graph(1)
    x = graph.image((1, 3, 5, 4), scale=1e-9)
    made = graph.op("Add", [x, x], "sum")
    graph.qdq(graph.activation(made, clip), 1e-9, 3, output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concat_of_images(qdq_graph, assert_parity, axis):
    graph = qdq_graph(axis + 5)
    x = graph.image((1, 6, 4, 5), scale=0.05, zero_point=3)
    y = graph.qdq(graph.conv(x, "conv", (6, 6, 1, 1)), 0.05, 3)
    graph.qdq(graph.op("Concat", [x, y, x], "all", axis=axis), 0.05, 3, output="out")
    assert_parity(graph.model("out"), within=1.0)


@pytest.mark.parametrize("levels", [1, 2, 6])
def test_head_tail(qdq_graph, assert_parity, levels):
    """Conv → Transpose → Reshape → Concat, as every SSD head ends."""
    graph = qdq_graph(levels)
    x = graph.image((1, 8, 9, 7), scale=RELU6, zero_point=-128)
    parts = []
    for level in range(levels):
        made = graph.qdq(graph.conv(x, f"head{level}", (12, 8, 1, 1)), 0.08, -7)
        made = graph.qdq(graph.op("Transpose", [made], f"t{level}", perm=[0, 2, 3, 1]), 0.08, -7)
        shape = graph.constant(f"shape{level}", np.array([1, -1, 4]))
        parts.append(graph.qdq(graph.op("Reshape", [made, shape], f"r{level}"), 0.08, -7))
    graph.qdq(graph.op("Concat", parts, "all", axis=1), 0.08, -7, output="out")
    lowered = assert_parity(graph.model("out"))
    assert lowered.outputs[0].shape == (1, levels * 9 * 7 * 3, 4)


def pool(graph, kind, window, size, zero_point, **attributes):
    kernel, stride, pads = window
    x = graph.image((1, 5, *size), scale=0.05, zero_point=zero_point)
    attributes |= {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads}
    graph.qdq(graph.op(kind, [x], "pool", **attributes), 0.05, zero_point, output="out")
    return graph.model("out")


TENSORFLOW_POOLS = [
    ((2, 2, VALID), (9, 8)),
    ((3, 1, SAME_3X3), (8, 9)),
    ((3, 2, SAME_3X3), (9, 7)),
    ((3, 2, SAME_EVEN_3X3_S2), (8, 8)),
    ((3, 2, [1, 0, 1, 1]), (9, 8)),
]
OTHER_POOLS = [
    ((3, 2, SAME_3X3), (8, 8)),
    ((3, 2, [1, 0, 1, 1]), (8, 9)),
    ((3, 1, [2, 2, 0, 0]), (5, 6)),
]


@pytest.mark.parametrize(("window", "size"), TENSORFLOW_POOLS + OTHER_POOLS)
@pytest.mark.parametrize("zero_point", [0, -128])
def test_max_pool(qdq_graph, assert_parity, window, size, zero_point):
    assert_parity(pool(qdq_graph(), "MaxPool", window, size, zero_point), within=1.0)


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


def test_flatten_after_global_average_pool(qdq_graph, assert_parity):
    graph = qdq_graph(1)
    x = graph.image((1, 11, 6, 7), scale=0.05, zero_point=-10)
    x = graph.qdq(graph.op("GlobalAveragePool", [x], "pool"), 0.05, -10)
    graph.qdq(graph.op("Flatten", [x], "flat"), 0.05, -10, output="out")
    assert assert_parity(graph.model("out")).outputs[0].shape == (1, 11)


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


@pytest.mark.parametrize("seed", range(6))
def test_second_qdq_pair_becomes_quantize(qdq_graph, assert_parity, seed):
    graph = qdq_graph(seed)
    scale, zero_point = random_qparams(graph.random)
    x = graph.image((1, 3, 5, 4), scale=scale, zero_point=zero_point)
    graph.qdq(x, *random_qparams(graph.random), output="out")
    assert_parity(graph.model("out"))


@pytest.mark.parametrize(
    ("channels", "kernel", "width", "pads"),
    [
        *itertools.product([1, 3, 4], [3, 5], [10, 16], [[0, 0, 1, 1], [1, 0, 1, 1]]),
        (3, 2, 8, VALID),
        (3, 3, 8, VALID),
    ],
)
def test_column_pairs_change_nothing(
    qdq_graph, litert_reference, litert_xnnpack, channels, kernel, width, pads
):
    from edgessd.lower.tflite.lower import lower_network

    graph = qdq_graph(kernel)
    x = graph.image((1, channels, 9, width))
    shape = (8, channels, kernel, kernel)
    made = graph.conv(x, "conv", shape, clip="Clip", strides=[2, 2], pads=pads)
    graph.qdq(made, RELU6, -128, output="out")
    model = graph.model("out")
    plain, paired = lower_network(model), lower_network(model, column_pairs=True)
    assert plain.content != paired.content, "the pass didn't apply"
    image = np.random.default_rng(2).integers(-128, 128, plain.inputs[0].shape).astype(np.int8)
    for run in (litert_reference, litert_xnnpack):
        first, second = run(plain.content, image)["out"], run(paired.content, image)["out"]
        np.testing.assert_array_equal(first, second)
        assert len(np.unique(first)) > 20


@pytest.mark.parametrize(
    ("channels", "size", "strides", "pads"),
    [
        (3, (8, 9), [2, 2], [0, 0, 1, 1]),  # odd width
        (3, (8, 8), [2, 1], [0, 0, 1, 1]),  # stride 1
        (3, (8, 8), [2, 2], [1, 1, 1, 1]),  # padding on the left
        (8, (8, 8), [2, 2], [0, 0, 1, 1]),  # full groups of channels already
    ],
)
def test_column_pairs_leave_other_convolutions_alone(qdq_graph, channels, size, strides, pads):
    from edgessd.lower.tflite.lower import lower_network

    graph = qdq_graph(1)
    x = graph.image((1, channels, *size))
    made = graph.conv(x, "conv", (8, channels, 3, 3), strides=strides, pads=pads)
    graph.qdq(made, 0.03, 0, output="out")
    model = graph.model("out")
    assert lower_network(model, column_pairs=True).content == lower_network(model).content


def test_uint8_input_is_the_int8_one_shifted(qdq_graph, litert_reference, litert_xnnpack):
    from edgessd.lower.tflite.lower import lower_network

    graph = qdq_graph(1)
    x = graph.image((1, 3, 9, 9))
    graph.qdq(graph.conv(x, "conv", (8, 3, 3, 3), pads=SAME_3X3), 0.03, 0, output="out")
    model = graph.model("out")
    signed, unsigned = (lower_network(model, input_dtype=dtype) for dtype in ("int8", "uint8"))
    quantization = unsigned.inputs[0].quantization
    assert (quantization.scale, quantization.zero_point) == (1 / 128, 128)
    pixels = np.random.default_rng(2).integers(0, 256, (1, 9, 9, 3)).astype(np.uint8)
    for run in (litert_reference, litert_xnnpack):
        expected = run(signed.content, (pixels.astype(int) - 128).astype(np.int8))["out"]
        np.testing.assert_array_equal(run(unsigned.content, pixels)["out"], expected)
