"""Whole detectors: what the flatbuffer is made of, how close it comes, and its two tails."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.core.contract import Nms
from edgessd.core.decode import Postprocessor
from edgessd.core.errors import LoweringError
from edgessd.core.images import read_image
from edgessd.core.network_tensors import DETECTION_OP
from edgessd.core.preprocess import preprocess_image
from edgessd.lower.tflite.lower import lower_to_tflite
from edgessd.quantize.float_passes.apply import as_quantizable

# Lowest op version that takes int8, by tensorflow/lite/tools/versioning/op_version.cc.
INT8_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "CONCATENATION": 2, "RESHAPE": 1}


def quant_graph(float_graph, images, scheme="affine"):
    from edgessd.calibrate.collect import collect
    from edgessd.quantize.ptq import quantize
    from edgessd.quantize.recipe import load_recipe

    table = collect(float_graph, CalibrationSet(images))
    return quantize(
        as_quantizable(float_graph), table, scheme=scheme, recipe=load_recipe("default")
    )


@pytest.fixture(scope="module")
def small(small_graph, photos):
    return quant_graph(small_graph, sorted(photos.iterdir()))


@pytest.fixture(scope="module")
def voc(shared: Path):
    """The VOC detector, calibrated with the first 24 images of coco128."""
    from edgessd.graph.export import export_float_graph
    from edgessd.model.importers.folded import import_folded

    float_graph = export_float_graph(import_folded(shared / "weights/ssdlite_mobilenet_v2_voc"))
    return quant_graph(
        float_graph, sorted((shared / "data/coco128/images/train2017").iterdir())[:24]
    )


@dataclass(frozen=True)
class Parsed:
    """The parts of a model file that the tests look at."""

    content: bytes

    @cached_property
    def model(self) -> Any:
        from ai_edge_litert import schema_py_generated as schema

        return schema.ModelT.InitFromObj(schema.Model.GetRootAs(self.content, 0))

    def ops(self) -> Counter[str]:
        return Counter(self.code(op.opcodeIndex) for op in self.model.subgraphs[0].operators)

    def code(self, index: int) -> str:
        from ai_edge_litert.schema_py_generated import BuiltinOperator

        names = {value: name for name, value in vars(BuiltinOperator).items() if name.isupper()}
        return names[self.model.operatorCodes[index].builtinCode]

    def versions(self) -> dict[str, int]:
        codes = self.model.operatorCodes
        return {self.code(index): code.version for index, code in enumerate(codes)}


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


def test_versions_are_the_lowest_that_take_int8(small):
    assert Parsed(lower_to_tflite(small, input_dtype="int8").content).versions() == INT8_VERSIONS
    unsigned = Parsed(lower_to_tflite(small, input_dtype="uint8").content).versions()
    assert unsigned == INT8_VERSIONS | {"QUANTIZE": 1}


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


def test_buffers_are_aligned_and_shared(small):
    content = lower_to_tflite(small).content
    parsed = Parsed(content)
    data = [bytes(b.data) for b in parsed.model.buffers if b.data is not None]
    assert len(data) == len(set(data)), "equal constants must share a buffer"
    offsets = [offset for offset, size in buffer_places(content) if size]
    assert len(offsets) == len(data) > 100
    assert not [offset for offset in offsets if offset % 16]


def buffer_places(content):
    """(offset in the file, bytes) of each buffer's data."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            data = buffer.DataAsNumpy()
            yield data.__array_interface__["data"][0] - start, data.size


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


def test_symmetric_graph_is_refused(small_graph, photos):
    graph = quant_graph(small_graph, sorted(photos.iterdir()), scheme="symmetric")
    with pytest.raises(LoweringError, match="scheme 'affine'"):
        lower_to_tflite(graph)


def test_graph_of_another_contract_is_refused(small):
    preprocess = msgspec.structs.replace(small.contract.preprocess, width=300)
    contract = msgspec.structs.replace(small.contract, preprocess=preprocess)
    with pytest.raises(LoweringError, match="doesn't fit its contract"):
        lower_to_tflite(replace(small, contract=contract))


def detect_both_ways(graph, frame, nms, run):
    """(Detections of edgessd's decode on the raw engine, rows of the op's engine)."""
    contract = msgspec.structs.replace(graph.contract, nms=nms)
    graph = replace(graph, contract=contract)
    raw, op = (lower_to_tflite(graph, input_dtype="uint8", postprocess=p) for p in ("raw", "op"))
    tensor, transform = preprocess_image(frame, contract.preprocess, raw.inputs[0])
    values = run(raw.content, tensor)
    expected = Postprocessor(contract, *raw.outputs)(
        values["box_codes"], values["class_scores"], transform
    )
    boxes, classes, scores, count = (run(op.content, tensor)[spec.name] for spec in op.outputs)
    valid = slice(0, int(count[0]))
    rows = transform.to_source(boxes[0, valid][:, [1, 0, 3, 2]])
    return expected, (rows, classes[0, valid].astype(int), scores[0, valid])


def assert_same_detections(expected, found):
    rows, classes, scores = found
    assert len(rows) == len(expected)
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    # Equal scores may come in any order.
    ours = np.lexsort((*expected.boxes.round().T, expected.class_ids, -expected.scores.round(4)))
    theirs = np.lexsort((*rows.round().T, classes, -scores.round(4)))
    np.testing.assert_array_equal(classes[theirs], expected.class_ids[ours])
    np.testing.assert_allclose(rows[theirs], expected.boxes[ours], atol=0.1)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("background", [True, False])
def test_op_decodes_as_core_does(small, photos, litert_xnnpack, activation, background):
    """On an untrained network, whose many middling scores leave no room for luck.

    Nothing is cut off: among equal scores at the limit, either choice would be right.
    """
    scoring = msgspec.structs.replace(
        small.contract.scoring, activation=activation, background=background
    )
    labels = small.contract.labels
    labels = labels if background else (*labels, "one more")
    contract = msgspec.structs.replace(small.contract, scoring=scoring, labels=labels)
    graph = replace(small, contract=contract)
    frame = read_image(sorted(photos.iterdir())[0])
    nms = Nms(score_threshold=0.1, iou_threshold=0.3, max_candidates=10_000, max_detections=2000)
    expected, found = detect_both_ways(graph, frame, nms, litert_xnnpack)
    assert len(expected) > 5
    assert_same_detections(expected, found)


def test_op_engine_is_found_by_the_ways_of_other_clients(small):
    """By TF1's tensor names and order, by TF2's signature (as Coral's client reads it), by the op."""
    from ai_edge_litert.interpreter import Interpreter

    lowered = lower_to_tflite(small, postprocess="op")
    interpreter = Interpreter(model_content=lowered.content)
    interpreter.allocate_tensors()
    most = small.contract.nms.max_detections
    details = interpreter.get_output_details()
    assert [d["name"] for d in details] == [
        DETECTION_OP,
        *(f"{DETECTION_OP}:{n}" for n in (1, 2, 3)),
    ]
    assert [tuple(d["shape"]) for d in details] == [(1, most, 4), (1, most), (1, most), (1,)]
    (signature,) = interpreter._get_full_signature_list().values()
    by_name = {name: interpreter.get_tensor(i).shape for name, i in signature["outputs"].items()}
    assert by_name == {
        "output_0": (1,),
        "output_1": (1, most),
        "output_2": (1, most),
        "output_3": (1, most, 4),
    }
    assert signature["outputs"]["output_1"] == details[2]["index"], "scores"
    assert signature["outputs"]["output_2"] == details[1]["index"], "classes"


def test_op_attributes_are_read_by_edgessds_own_reader(small, tmp_path):
    from edgessd.runtime.foreign_tflite import read_foreign_model

    lowered = lower_to_tflite(small, input_dtype="uint8", postprocess="op")
    path = tmp_path / "op.tflite"
    path.write_bytes(lowered.content)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(small.contract.labels))
    model = read_foreign_model(path, lowered.inputs[0], lowered.outputs, labels_file=labels)
    assert model.labels == small.contract.labels
    assert (model.outputs.boxes, model.outputs.count) == (DETECTION_OP, f"{DETECTION_OP}:3")


@pytest.mark.parametrize("fault", ["relu", "shared head", "channels", "no conv"])
def test_box_codes_that_cant_be_reordered_are_refused(qdq_graph, fault):
    from edgessd.lower.tflite.graph_reader import read_network
    from edgessd.lower.tflite.postprocess import reorder_box_codes

    graph = qdq_graph()
    x = graph.image((1, 4, 6, 6), scale=0.05)
    if fault == "no conv":
        made = x
    else:
        made = graph.qdq(graph.conv(x, "head", (6 if fault == "channels" else 8, 4, 1, 1)), 0.05)
    if fault == "relu":
        made = graph.qdq(graph.activation(made, "Relu"), 0.05)
    outputs = ["box_codes"]
    if fault == "shared head":
        graph.qdq(graph.op("Add", [made, made], "other"), 0.05, output="sum")
        outputs.append("sum")
    made = graph.qdq(graph.op("Transpose", [made], "t", perm=[0, 2, 3, 1]), 0.05)
    shape = graph.constant("shape", np.array([1, -1, 4]))
    graph.qdq(graph.op("Reshape", [made, shape], "r"), 0.05, output="box_codes")
    network = read_network(graph.model(*outputs))
    why = {
        "relu": "can't be changed through it",
        "shared head": "a box head whose channels have to be reordered",
        "channels": "four channels for each anchor",
        "no conv": "are the graph's input",
    }
    with pytest.raises(LoweringError, match=why[fault]):
        reorder_box_codes(network, "box_codes")


@pytest.mark.slow
def test_voc_detector_is_within_1_lsb(voc, shared, run_onnx, litert_reference, litert_xnnpack):
    """Rounding adds up over 60 layers, so a network can't be held as tightly as a layer is."""
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


@pytest.mark.slow
def test_voc_op_decodes_as_core_does_on_photographs(voc, shared, litert_xnnpack):
    found_any = 0
    for path in sorted((shared / "data/voc100").rglob("*.jpg"))[:6]:
        expected, found = detect_both_ways(voc, read_image(path), voc.contract.nms, litert_xnnpack)
        assert_same_detections(expected, found)
        found_any += len(expected)
    assert found_any >= 10
