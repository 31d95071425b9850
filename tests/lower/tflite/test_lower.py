"""Whole detectors: operators of the file, weights, tensors, and distance to onnxruntime."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from tflite_graphs import SAME_3X3, Parsed, quant_graph, refused

from edgessd.core.errors import LoweringError
from edgessd.core.images import read_image
from edgessd.core.preprocess import preprocess_image
from edgessd.lower.tflite.lower import lower_network, lower_to_tflite

pytestmark = pytest.mark.slow


def test_two_inputs(qdq_graph):
    graph = qdq_graph()
    x, y = graph.image((1, 3, 8, 8)), graph.image((1, 3, 8, 8), name="other")
    graph.qdq(graph.op("Add", [x, y], "sum"), 0.1, output="out")
    assert "must have one input" in refused(graph, "out")


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


def test_uint8_input_is_the_int8_one_shifted(qdq_graph, litert_reference, litert_xnnpack):

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


def test_no_op_is_there_that_moves_or_converts(small):
    """Every TRANSPOSE, PAD, QUANTIZE and DEQUANTIZE of the ONNX graph is gone."""
    parsed = Parsed(lower_to_tflite(small, input_dtype="int8").content)
    onnx_ops = Counter(node.op_type for node in small.model.graph.node)
    ops = parsed.ops()
    assert ops.keys() == {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "RESHAPE", "CONCATENATION"}
    assert ops["CONV_2D"] + ops["DEPTHWISE_CONV_2D"] == onnx_ops["Conv"]
    assert ops["ADD"] == onnx_ops["Add"]
    assert ops["CONCATENATION"] == 2
    assert ops["RESHAPE"] <= onnx_ops["Reshape"]


def test_weights_follow_the_int8_specification(small):
    parsed = Parsed(lower_to_tflite(small).content)
    graph = parsed.model.subgraphs[0]
    for op in graph.operators:
        code = parsed.code(op.opcodeIndex)
        if code not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            continue
        source, weights, bias = (graph.tensors[index] for index in op.inputs)
        channels = graph.tensors[op.outputs[0]].shape[3]
        axis = 0 if code == "CONV_2D" else 3
        assert weights.quantization.quantizedDimension == axis
        assert len(weights.quantization.scale) == channels == weights.shape[axis]
        assert not np.any(weights.quantization.zeroPoint)
        assert np.frombuffer(parsed.model.buffers[weights.buffer].data, np.int8).min() >= -127
        assert bias.type == 2  # INT32
        np.testing.assert_allclose(
            bias.quantization.scale,
            source.quantization.scale * weights.quantization.scale,
            rtol=1e-6,
        )


def test_the_file_depends_on_nothing_but_its_input(small):
    assert lower_to_tflite(small).content == lower_to_tflite(small).content


def test_specs_say_what_litert_says(small):
    from ai_edge_litert.interpreter import Interpreter

    for dtype in ("int8", "uint8"):
        lowered = lower_to_tflite(small, input_dtype=dtype)
        interpreter = Interpreter(model_content=lowered.content)
        described = (*interpreter.get_input_details(), *interpreter.get_output_details())
        for spec, detail in zip((*lowered.inputs, *lowered.outputs), described, strict=True):
            assert spec.name == detail["name"]
            assert spec.shape == tuple(detail["shape"])
            assert spec.numpy_dtype == detail["dtype"]
            affine = spec.quantization
            assert (affine.scale, affine.zero_point) == detail["quantization"]
        signature = interpreter.get_signature_list()["serving_default"]
        assert signature == {"inputs": ["image"], "outputs": ["box_codes", "class_scores"]}


def test_symmetric_graph_is_refused(small_graph, photos, cheap_recipe):
    graph = quant_graph(small_graph, sorted(photos.iterdir()), cheap_recipe, scheme="symmetric")
    with pytest.raises(LoweringError, match="scheme 'affine'"):
        lower_to_tflite(graph)


def test_graph_of_another_contract_is_refused(small):
    preprocess = msgspec.structs.replace(small.contract.preprocess, width=300)
    contract = msgspec.structs.replace(small.contract, preprocess=preprocess)
    with pytest.raises(LoweringError, match="doesn't fit its contract"):
        lower_to_tflite(replace(small, contract=contract))


def test_voc_detector_is_within_1_lsb(voc, shared, run_onnx, litert_reference, litert_xnnpack):
    """Rounding errors add up over 60 layers, so the bound is looser than that of one layer."""
    lowered = lower_to_tflite(voc)
    assert sum(Parsed(lowered.content).ops().values()) == 112
    shares = {"xnnpack": [], "reference": []}
    for path in sorted((shared / "data/voc100").rglob("*.jpg"))[:8]:
        image, _ = preprocess_image(read_image(path), voc.contract.preprocess, lowered.inputs[0])
        expected = run_onnx(voc.model, (image.astype(np.float32) / 128).transpose(0, 3, 1, 2))
        for name, run in (("xnnpack", litert_xnnpack), ("reference", litert_reference)):
            found = run(lowered.content, image)
            close = []
            for spec in lowered.outputs:
                scale, zero_point = spec.quantization.scale, spec.quantization.zero_point
                wanted = np.rint(expected[spec.name] / np.float32(scale)) + zero_point
                close.append((np.abs(found[spec.name] - wanted) <= 1).ravel())
            shares[name].append(np.concatenate(close).mean())
    assert np.mean(shares["xnnpack"]) >= 0.92, shares
    assert np.mean(shares["reference"]) >= 0.86, shares
