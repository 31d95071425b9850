"""The Q/DQ graph's structure, node by node."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import GraphView, attribute
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.schemes import SCHEMES, SchemeName

pytestmark = pytest.mark.slow


def _nodes(model: onnx.ModelProto, op_type: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == op_type]


def _params(view: GraphView, dequantize: onnx.NodeProto) -> tuple[float, int]:
    return view.constant(dequantize.input[1]).item(), view.constant(dequantize.input[2]).item()


def _dequantizer(view: GraphView, name: str) -> onnx.NodeProto:
    return _producer(view, name, "DequantizeLinear")


def _producer(view: GraphView, name: str, op_type: str) -> onnx.NodeProto:
    producer = view.producer(name)
    assert producer is not None, name
    assert producer.op_type == op_type, name
    return producer


def test_affine_counts(graphs: dict[SchemeName, QuantGraph], small_graph: FloatGraph) -> None:
    counts = Counter(node.op_type for node in graphs["affine"].model.graph.node)
    floats = Counter(node.op_type for node in small_graph.model.graph.node)
    # One pair for the image and one for every node's output that isn't fused into a Clip.
    materialised = 1 + sum(floats.values()) - floats["Clip"]
    assert counts["QuantizeLinear"] == materialised
    # Each Conv has a DequantizeLinear for its weight and one for its bias besides.
    assert counts["DequantizeLinear"] == materialised + 2 * floats["Conv"]
    assert {op: counts[op] for op in floats} == floats


def test_symmetric_counts(graphs: dict[SchemeName, QuantGraph]) -> None:
    affine = Counter(node.op_type for node in graphs["affine"].model.graph.node)
    symmetric = Counter(node.op_type for node in graphs["symmetric"].model.graph.node)
    # Each residual branch stays float, and biases have no DequantizeLinear.
    assert symmetric["QuantizeLinear"] == affine["QuantizeLinear"] - affine["Add"]
    expected = affine["DequantizeLinear"] - affine["Add"] - affine["Conv"]
    assert symmetric["DequantizeLinear"] == expected


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_stands_between_a_conv_and_its_activation(
    graphs: dict[SchemeName, QuantGraph], scheme: SchemeName
) -> None:
    view = GraphView(graphs[scheme].model)
    clips = _nodes(graphs[scheme].model, "Clip")
    assert clips
    for clip in clips:
        _producer(view, clip.input[0], "Conv")
        (consumer,) = view.consumers(clip.output[0])
        assert consumer.op_type == "QuantizeLinear"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_tensor_has_one_pair_for_all_its_consumers(
    graphs: dict[SchemeName, QuantGraph], scheme: SchemeName
) -> None:
    view = GraphView(graphs[scheme].model)
    for node in _nodes(graphs[scheme].model, "QuantizeLinear"):
        (only,) = view.consumers(node.output[0])
        assert only.op_type == "DequantizeLinear"
        assert list(only.input[1:]) == list(node.input[1:])
        assert [consumer.op_type for consumer in view.consumers(node.input[0])] == [
            "QuantizeLinear"
        ]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_image_is_pixel_minus_128(graphs: dict[SchemeName, QuantGraph], scheme: SchemeName) -> None:
    graph = graphs[scheme]
    (quantizer,) = GraphView(graph.model).consumers(INPUT)
    assert _params(GraphView(graph.model), quantizer) == (1 / 128, 0)
    assert graph.contract.preprocess.mean == graph.contract.preprocess.std == (128.0,) * 3


def test_weights_and_biases_of_the_affine_graph(graphs: dict[SchemeName, QuantGraph]) -> None:
    view = GraphView(graphs["affine"].model)
    for conv in _nodes(graphs["affine"].model, "Conv"):
        source, weight, bias = (_dequantizer(view, name) for name in conv.input)
        integers = view.constant(weight.input[0])
        assert integers.dtype == np.int8
        assert integers.min() >= -127
        assert attribute(weight, "axis") == attribute(bias, "axis") == 0
        for dequantizer in (weight, bias):
            assert not view.constant(dequantizer.input[2]).any()
        assert view.constant(bias.input[0]).dtype == np.int32
        product = view.constant(source.input[1]) * view.constant(weight.input[1])
        assert product.dtype == np.float32
        np.testing.assert_array_equal(view.constant(bias.input[1]), product)


def test_symmetric_graph_has_the_form_that_tensorrt_requires(
    graphs: dict[SchemeName, QuantGraph],
) -> None:
    view = GraphView(graphs["symmetric"].model)
    for node in _nodes(graphs["symmetric"].model, "DequantizeLinear"):
        assert not view.constant(node.input[2]).any()
    for conv in _nodes(graphs["symmetric"].model, "Conv"):
        assert view.constant(conv.input[2]).dtype == np.float32
    for add in _nodes(graphs["symmetric"].model, "Add"):
        kinds = sorted(producer.op_type for name in add.input if (producer := view.producer(name)))
        assert kinds == ["Conv", "DequantizeLinear"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("output", ["box_codes", "class_scores"])
def test_heads_share_one_scale_with_their_output(
    graphs: dict[SchemeName, QuantGraph], scheme: SchemeName, output: str
) -> None:
    model = graphs[scheme].model
    view = GraphView(model)
    last = _dequantizer(view, output)
    expected = _params(view, last)
    quantizer = _producer(view, last.input[0], "QuantizeLinear")
    concat = _producer(view, quantizer.input[0], "Concat")
    for joined in concat.input:
        name = joined
        for op_type in ("Reshape", "Transpose", "Conv"):
            pair = _dequantizer(view, name)
            assert _params(view, pair) == expected
            quantizer = _producer(view, pair.input[0], "QuantizeLinear")
            name = _producer(view, quantizer.input[0], op_type).input[0]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_relu6_output_never_ranges_beyond_six(
    graphs: dict[SchemeName, QuantGraph], scheme: SchemeName
) -> None:
    view = GraphView(graphs[scheme].model)
    for clip in _nodes(graphs[scheme].model, "Clip"):
        (quantizer,) = view.consumers(clip.output[0])
        scale, zero_point = _params(view, quantizer)
        assert scale * (127 - zero_point) <= 6 * 1.00001
        assert zero_point == (-128 if scheme == "affine" else 0)
