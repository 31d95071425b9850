"""The two forms of a TensorRT graph: their structure, and their numbers in onnxruntime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgessd.calibrate.table import CalibrationTable
from edgessd.core.contract import Contract
from edgessd.core.decode import Postprocessor
from edgessd.core.errors import BackendError, LoweringError
from edgessd.core.images import read_image
from edgessd.core.onnx_metadata import CONTRACT_KEY, TENSORS_KEY
from edgessd.core.preprocess import preprocess_image
from edgessd.core.tensors import EngineTensors, QuantParams, TensorSpec
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.lower.tensorrt.lower import TensorRtGraphs, lower_to_tensorrt
from edgessd.lower.tensorrt.qdq_lint import lint_qdq
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qdq import names
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.recipe import load_recipe
from edgessd.runtime.ort_backend import OrtBackend

pytestmark = pytest.mark.slow

RunOnnx = Callable[[onnx.ModelProto, np.ndarray], dict[str, np.ndarray]]
Quantize = Callable[..., QuantGraph]


@pytest.fixture(scope="module")
def raw(graph: QuantGraph) -> TensorRtGraphs:
    return lower_to_tensorrt(graph)


def loaded(content: bytes) -> onnx.ModelProto:
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    return model


def pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, (1, 3, 64, 97)).astype(np.int8)


def real(values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    assert spec.quantization is not None
    return values.astype(np.float32) * np.float32(spec.quantization.scale)


def opset(model: onnx.ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if not entry.domain)


def test_integers_enter_and_leave(raw: TensorRtGraphs) -> None:
    assert raw.precision == "int8"
    assert raw.reference_inputs == raw.engine_inputs
    assert raw.reference_outputs == raw.engine_outputs
    (image,) = raw.engine_inputs
    assert image == TensorSpec(
        name="image",
        shape=(1, 3, 64, 97),
        dtype="int8",
        quantization=QuantParams(scale=1 / 128),
        layout="NCHW",
    )
    assert [(spec.name, spec.dtype) for spec in raw.engine_outputs] == [
        ("box_codes", "int8"),
        ("class_scores", "int8"),
    ]
    for content in (raw.weak, raw.strong):
        model = loaded(content)
        for value in (*model.graph.input, *model.graph.output):
            assert value.type.tensor_type.elem_type == TensorProto.INT8, value.name
        view = GraphView(model)
        assert [node.op_type for node in view.consumers("image")] == ["DequantizeLinear"]
        for spec in raw.engine_outputs:
            last = view.producer(spec.name)
            assert last is not None
            assert last.op_type == "QuantizeLinear"
            assert spec.quantization is not None
            assert view.constant(last.input[1]).item() == spec.quantization.scale


def test_the_integers_are_those_of_the_float_boundary(
    graph: QuantGraph, raw: TensorRtGraphs
) -> None:
    for seed in range(3):
        image = pixels(seed)
        expected = run_model(graph.model, {"image": image.astype(np.float32) / 128})
        found = run_model(loaded(raw.weak), {"image": image})
        for spec in raw.reference_outputs:
            np.testing.assert_array_equal(real(found[spec.name], spec), expected[spec.name])


def test_both_forms_hold_the_same_parameters(raw: TensorRtGraphs) -> None:
    weak, strong = loaded(raw.weak), loaded(raw.strong)
    assert (opset(weak), opset(strong)) == (17, 19)
    stored = {entry.name: entry for entry in strong.graph.initializer}
    assert not any(entry.data_type == TensorProto.FLOAT for entry in stored.values())
    compared = 0
    for entry in weak.graph.initializer:
        value = onnx.numpy_helper.to_array(entry)
        if value.dtype == np.float32:
            other = onnx.numpy_helper.to_array(stored[f"{entry.name}.float16"])
            np.testing.assert_array_equal(other.astype(np.float32), value, err_msg=entry.name)
            compared += 1
        else:
            np.testing.assert_array_equal(onnx.numpy_helper.to_array(stored[entry.name]), value)
    # At least a scale and a bias for each convolution.
    assert compared >= 2 * sum(node.op_type == "Conv" for node in weak.graph.node)
    assert Counter(node.op_type for node in weak.graph.node) == Counter(
        node.op_type for node in strong.graph.node
    )


def test_the_strong_form_computes_the_same_but_for_float16(
    raw: TensorRtGraphs, run_onnx: RunOnnx
) -> None:
    # onnxruntime rounds the products and sums of each node to float16, which an integer engine doesn't. The
    # difference grows from layer to layer, so the bound is tight for the first and loose for the last.
    first = names.quantized("backbone.stem.activation")
    weak, strong = (
        run_onnx(onnx.utils.Extractor(model).extract_model(["image"], [first]), pixels(1))[first]
        for model in (loaded(raw.weak), loaded(raw.strong))
    )
    distance = np.abs(weak.astype(int) - strong)
    assert distance.max() <= 1
    assert (distance == 0).mean() > 0.99
    weak_outputs, strong_outputs = (
        run_onnx(loaded(form), pixels(1)) for form in (raw.weak, raw.strong)
    )
    for name, value in weak_outputs.items():
        assert np.corrcoef(value.ravel(), strong_outputs[name].ravel())[0, 1] > 0.7, name


def test_files_say_what_they_are(graph: QuantGraph, raw: TensorRtGraphs) -> None:
    for content, inputs, outputs in (
        (raw.weak, raw.reference_inputs, raw.reference_outputs),
        (raw.strong, raw.engine_inputs, raw.engine_outputs),
    ):
        metadata = {entry.key: entry.value for entry in loaded(content).metadata_props}
        assert msgspec.json.decode(metadata[CONTRACT_KEY], type=Contract) == graph.contract
        tensors = msgspec.json.decode(metadata[TENSORS_KEY], type=EngineTensors)
        assert tensors == EngineTensors(inputs=inputs, outputs=outputs)
    assert lower_to_tensorrt(graph) == raw


def test_the_onnxruntime_backend_reads_the_scales(raw: TensorRtGraphs) -> None:
    backend = OrtBackend(raw.weak)
    assert (backend.input,) == raw.reference_inputs
    assert backend.outputs == raw.reference_outputs
    values = backend.infer(pixels())
    assert {value.dtype for value in values.values()} == {np.dtype(np.int8)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"inputs": [], "outputs": 3}', "The metadata of the engine can't be read"),
        (
            '{"inputs": [{"name": "image", "shape": [1, 3, 64, 97], "dtype": "int8", '
            '"quantization": {"scale": 0.0}}], "outputs": []}',
            "scale isn't positive",
        ),
        (
            '{"inputs": [{"name": "image", "shape": [1, 3, 9, 9], "dtype": "int8"}], "outputs": []}',
            r"image of the engine differs from its metadata.*int8 \(1, 3, 9, 9\).*\(1, 3, 64, 97\)",
        ),
    ],
)
def test_onnxruntime_backend_refuses_a_file_that_contradicts_itself(
    raw: TensorRtGraphs, text: str, words: str
) -> None:
    model = loaded(raw.weak)
    for entry in model.metadata_props:
        if entry.key == TENSORS_KEY:
            entry.value = text
    with pytest.raises(BackendError, match=words):
        OrtBackend(model.SerializeToString())


def test_relu6_became_relu_where_the_integers_end_there(
    graph: QuantGraph, raw: TensorRtGraphs
) -> None:
    before = Counter(node.op_type for node in graph.model.graph.node)
    for content in (raw.weak, raw.strong):
        after = Counter(node.op_type for node in loaded(content).graph.node)
        assert after["Clip"] == 0
        assert after["Relu"] == before["Clip"] + before["Relu"]


def test_the_affine_scheme_is_refused(small_graph: FloatGraph, table: CalibrationTable) -> None:
    affine = quantize(
        as_quantizable(small_graph), table, scheme="affine", recipe=load_recipe("default")
    )
    with pytest.raises(LoweringError, match=r"the symmetric scheme.*affine"):
        lower_to_tensorrt(affine)


def test_a_badly_placed_graph_is_refused_with_every_violation(graph: QuantGraph) -> None:
    model = copy_of(graph.model)
    nodes = {node.name: node for node in model.graph.node}
    set_initializer(model, "seven", np.array(7, np.int8))
    for name in (
        names.quantizer("backbone.stem.activation"),
        names.dequantizer("backbone.stem.activation"),
    ):
        nodes[name].input[2] = "seven"
    set_initializer(model, "wide", np.array(0.5, np.float32))
    for name in (names.quantizer("heads.0.box.reshape"), names.dequantizer("heads.0.box.reshape")):
        nodes[name].input[1] = "wide"
    bad = QuantGraph(model=model, contract=graph.contract, quantization=graph.quantization)
    with pytest.raises(LoweringError) as refusal:
        lower_to_tensorrt(bad)
    message = str(refusal.value)
    for words in (
        "[zero-point] backbone.stem.activation.q: Zero point 7.",
        "[zero-point] backbone.stem.activation.dq",
        "[concat-scale] box_codes.concat",
        "[move-scale] heads.0.box.reshape.q",
        "Found 4 violations.",
    ):
        assert words in message, message


# Tensors that recipes keep float, with the dtype of the outputs in the compiled engine.
KEPT = [
    (("box_codes",), {"box_codes": "float16", "class_scores": "int8"}),
    (("box_codes", "class_scores"), {"box_codes": "float16", "class_scores": "float16"}),
    (("image",), {"box_codes": "int8", "class_scores": "int8"}),
    (("image", "class_scores"), {"box_codes": "int8", "class_scores": "float16"}),
    # The skip input of a residual sum, and the input of a head.
    (("backbone.blocks.2.add",), {"box_codes": "int8", "class_scores": "int8"}),
    (("heads.*.score.depthwise.activation",), {"box_codes": "int8", "class_scores": "int8"}),
]


@pytest.mark.parametrize(("patterns", "dtypes"), KEPT)
def test_tensors_kept_float_are_lowered_in_both_forms(
    quantized: Quantize,
    photos: Path,
    run_onnx: RunOnnx,
    patterns: tuple[str, ...],
    dtypes: dict[str, str],
) -> None:
    graph = quantized(*patterns)
    lowered = lower_to_tensorrt(graph)
    assert {spec.name: spec.dtype for spec in lowered.engine_outputs} == dtypes
    assert {spec.name: spec.dtype for spec in lowered.reference_outputs} == {
        name: dtype.replace("float16", "float32") for name, dtype in dtypes.items()
    }
    (image,) = lowered.engine_inputs
    assert image.dtype == "int8"  # pixel - 128 is exact, kept float or not
    loaded(lowered.strong)
    backend = OrtBackend(lowered.weak)
    tensor, transform = preprocess_image(
        read_image(sorted(photos.iterdir())[0]), graph.contract.preprocess, backend.input
    )
    # onnxruntime sums a float first layer in another order if an int8 image enters.
    found = run_onnx(loaded(lowered.weak), tensor)
    expected = run_onnx(graph.model, tensor.astype(np.float32) / 128)
    postprocess = Postprocessor(graph.contract, *backend.outputs)
    for spec in backend.outputs:
        value = found[spec.name]
        value = value if spec.quantization is None else real(value, spec)
        np.testing.assert_array_equal(value, expected[spec.name])
    float_specs = (
        TensorSpec(name=spec.name, shape=spec.shape, dtype="float32") for spec in backend.outputs
    )
    reference = Postprocessor(graph.contract, *float_specs)
    a = postprocess(found["box_codes"], found["class_scores"], transform)
    b = reference(expected["box_codes"], expected["class_scores"], transform)
    np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_the_linter_accepts_a_kept_float_tensor_only_if_the_recipe_names_it(
    quantized: Quantize,
) -> None:
    graph = quantized("image")
    assert [violation.rule for violation in lint_qdq(graph.model)] == ["conv-float"]
    assert lint_qdq(graph.model, kept_float=("image",)) == ()


def test_float_graph_takes_and_gives_float16_once_compiled(small_graph: FloatGraph) -> None:
    lowered = lower_to_tensorrt(small_graph)
    assert lowered.precision == "fp16"
    assert {spec.dtype for spec in (*lowered.reference_inputs, *lowered.reference_outputs)} == {
        "float32"
    }
    assert {spec.dtype for spec in (*lowered.engine_inputs, *lowered.engine_outputs)} == {"float16"}
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 97)).astype(np.float16)
    wide = run_model(loaded(lowered.weak), {"image": image.astype(np.float32)})
    expected = run_model(small_graph.model, {"image": image.astype(np.float32)})
    strong = run_model(loaded(lowered.strong), {"image": image})
    for name, value in expected.items():
        np.testing.assert_array_equal(wide[name], value)
        assert strong[name].dtype == np.float16
        # 11 bits through some fifty layers.
        np.testing.assert_allclose(strong[name], value, atol=0.05 * np.abs(value).max())
        assert np.corrcoef(strong[name].ravel(), value.ravel())[0, 1] > 0.999
    assert (OrtBackend(lowered.weak).input,) == lowered.reference_inputs


def test_layers_with_few_channels_are_advice(raw: TensorRtGraphs) -> None:
    assert any(advice.startswith("backbone.stem.conv: 3 channels in") for advice in raw.advice)
