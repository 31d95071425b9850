"""The Q/DQ graph: its structure node by node, then its numbers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from msgspec.structs import replace

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.calibrate.table import CalibrationTable
from edgessd.core.contract import Contract, Preprocess
from edgessd.core.decode import Postprocessor
from edgessd.core.detections import Detections
from edgessd.core.errors import CalibrationError, GraphError
from edgessd.core.images import list_images, read_image
from edgessd.core.network_tensors import INPUT
from edgessd.core.preprocess import preprocess_image
from edgessd.core.tensors import TensorSpec
from edgessd.graph.export import export_float_graph
from edgessd.graph.float_graph import FloatGraph, save_graph
from edgessd.graph.verify import make_session, run_model
from edgessd.graph.view import GraphView, attribute, copy_of, set_initializer
from edgessd.metrics.coco import EVALUATION_NMS
from edgessd.metrics.parity import agreement_ap
from edgessd.model.importers.folded import import_folded
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qdq.quant_graph import QuantGraph, load_quant_graph, save_quant_graph
from edgessd.quantize.recipe import Exemption, RangeRule, load_recipe
from edgessd.quantize.schemes import SCHEMES, SchemeName


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen blurred noise images."""
    import cv2

    path = tmp_path_factory.mktemp("calibration")
    random = np.random.default_rng(0)
    for index in range(16):
        image = random.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(path / f"{index:02}.png"), cv2.resize(image, (97, 64)))
    return path


@pytest.fixture(scope="module")
def table(small_graph: FloatGraph, folder: Path) -> CalibrationTable:
    return collect(small_graph, CalibrationSet(folder.iterdir()))


@pytest.fixture(scope="module")
def graphs(small_graph: FloatGraph, table: CalibrationTable) -> dict[SchemeName, QuantGraph]:
    recipe = replace(load_recipe("default"), exemptions=())
    graph = as_quantizable(small_graph)
    return {name: quantize(graph, table, scheme=name, recipe=recipe) for name in SCHEMES}


def test_the_default_recipe_keeps_the_outputs_float_where_the_engine_may(
    small_graph: FloatGraph, table: CalibrationTable
) -> None:
    last = {}
    for scheme in SCHEMES:
        graph = quantize(
            as_quantizable(small_graph), table, scheme=scheme, recipe=load_recipe("default")
        )
        view = GraphView(graph.model)
        last[scheme] = {
            producer.op_type
            for name in ("box_codes", "class_scores")
            if (producer := view.producer(name)) is not None
        }
    assert last == {"affine": {"DequantizeLinear"}, "symmetric": {"Concat"}}


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


def test_symmetric_graph_is_what_tensorrt_takes(graphs: dict[SchemeName, QuantGraph]) -> None:
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
def test_head_tail_shares_one_scale(
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


@pytest.mark.parametrize("scheme", SCHEMES)
def test_numbers_follow_the_float_graph(
    graphs: dict[SchemeName, QuantGraph],
    small_graph: FloatGraph,
    folder: Path,
    scheme: SchemeName,
) -> None:
    # An untrained network amplifies noise from layer to layer, so only its first three blocks count.
    name = "backbone.blocks.2.add"
    expected, found = (
        run_model(
            onnx.utils.Extractor(graph.model).extract_model([INPUT], [output]),
            {INPUT: _image(folder / "03.png", graph.contract.preprocess)},
        )[output]
        for graph, output in ((small_graph, name), (graphs[scheme], f"{name}.dequantized"))
    )
    assert np.sqrt(np.square(found - expected).mean()) < 0.1 * expected.std()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_trained_detector_keeps_its_detections(
    voc: tuple[FloatGraph, CalibrationTable], shared: Path, scheme: SchemeName
) -> None:
    graph, table = voc
    quantized = quantize(as_quantizable(graph), table, scheme=scheme, recipe=load_recipe("default"))
    images = list_images(shared / "data/coco128/images/val2017")[:40]
    reference = _detect(graph.model, graph.contract, images)
    found = _detect(quantized.model, quantized.contract, images)
    # 0.96 (affine) and 0.95 (symmetric) over 228 images. Forty scatter: scales that differ by 1 part in
    # 4,000 gave 0.89 to 0.95.
    assert agreement_ap(reference, found) > 0.87


@pytest.fixture(scope="module")
def voc(shared: Path) -> tuple[FloatGraph, CalibrationTable]:
    graph = export_float_graph(import_folded(shared / "weights/ssdlite_mobilenet_v2_voc"))
    images = list_images(shared / "data/coco128/images/train2017")[:32]
    return graph, collect(graph, CalibrationSet(images))


def _detect(model: onnx.ModelProto, contract: Contract, images: list[Path]) -> list[Detections]:
    session = make_session(model)
    boxes, scores = (
        TensorSpec(name=output.name, shape=tuple(output.shape), dtype="float32")
        for output in session.get_outputs()
    )
    postprocess = Postprocessor(contract, boxes, scores, nms=EVALUATION_NMS)
    spec = TensorSpec(name=INPUT, shape=(1, 3, 300, 300), dtype="float32", layout="NCHW")
    found = []
    for path in images:
        tensor, transform = preprocess_image(read_image(path), contract.preprocess, spec)
        found.append(
            postprocess(*session.run([boxes.name, scores.name], {INPUT: tensor}), transform)
        )
    return found


def _image(path: Path, preprocess: Preprocess) -> np.ndarray:
    spec = TensorSpec(name=INPUT, shape=(1, 3, 64, 97), dtype="float32", layout="NCHW")
    return preprocess_image(read_image(path), preprocess, spec)[0]


def test_vanishing_weights_dont_overflow_the_bias(small_graph: FloatGraph, folder: Path) -> None:
    model = copy_of(small_graph.model)
    name = "backbone.blocks.3.expand.conv"
    weight = GraphView(model).constant(f"{name}.weight").copy()
    weight[0] *= 1e-12
    bias = GraphView(model).constant(f"{name}.bias").copy()
    bias[0] = 3.0
    set_initializer(model, f"{name}.weight", weight)
    set_initializer(model, f"{name}.bias", bias)
    graph = FloatGraph(model=model, contract=small_graph.contract)
    table = collect(graph, CalibrationSet(folder.iterdir()))
    quantized = quantize(
        as_quantizable(graph), table, scheme="affine", recipe=load_recipe("default")
    )
    view = GraphView(quantized.model)
    integer = view.constant(f"{name}.bias.quantized")[0]
    scale = view.constant(f"{name}.bias.scale")[0]
    assert integer * float(scale) == pytest.approx(3.0, rel=1e-6)


def test_exemption_keeps_tensors_float_in_the_symmetric_scheme_only(
    small_graph: FloatGraph, table: CalibrationTable
) -> None:
    exemption = Exemption(tensors=("heads.*.score.depthwise.activation",), keep_float=True)
    recipe = replace(load_recipe("default"), exemptions=(exemption,))
    graph = quantize(as_quantizable(small_graph), table, scheme="symmetric", recipe=recipe)
    view = GraphView(graph.model)
    for conv in _nodes(graph.model, "Conv"):
        if conv.name.endswith("score.pointwise"):
            # Its input is float, so its weight is too.
            assert conv.input[0].endswith("depthwise.activation")
            assert view.constant(conv.input[1]).dtype == np.float32
    assert set(run_model(graph.model, {INPUT: np.zeros((1, 3, 64, 97), np.float32)})) == {
        "box_codes",
        "class_scores",
    }
    with pytest.raises(GraphError, match="keep_float"):
        quantize(as_quantizable(small_graph), table, scheme="affine", recipe=recipe)


def test_exemption_changes_one_range(small_graph: FloatGraph, table: CalibrationTable) -> None:
    name = "backbone.blocks.2.add"
    exemption = Exemption(tensors=(name,), range=RangeRule(method="minmax"))
    recipe = replace(load_recipe("average"), exemptions=(exemption,))
    found = GraphView(
        quantize(as_quantizable(small_graph), table, scheme="affine", recipe=recipe).model
    )
    plain = GraphView(
        quantize(
            as_quantizable(small_graph), table, scheme="affine", recipe=load_recipe("average")
        ).model
    )
    assert found.constant(f"{name}.scale") > plain.constant(f"{name}.scale")
    other = "backbone.blocks.4.add.scale"
    assert found.constant(other) == plain.constant(other)


def test_operation_without_an_integer_form_is_refused(
    small_graph: FloatGraph, table: CalibrationTable
) -> None:
    model = copy_of(small_graph.model)
    for node in model.graph.node:
        if node.name == "backbone.last.activation":
            node.op_type = "HardSwish"
            del node.input[1:]
    graph = FloatGraph(model=model, contract=small_graph.contract)
    matching = CalibrationTable(
        tensors=table.tensors, images=table.images, skipped={}, graph_sha256=graph.sha256
    )
    with pytest.raises(GraphError, match=r"HardSwish 'backbone\.last\.activation'"):
        quantize(as_quantizable(graph), matching, scheme="affine", recipe=load_recipe("default"))


def test_table_of_another_graph_is_refused(
    small_graph: FloatGraph, table: CalibrationTable
) -> None:
    other = CalibrationTable(
        tensors=table.tensors, images=table.images, skipped={}, graph_sha256="0" * 64
    )
    with pytest.raises(CalibrationError, match="another graph"):
        quantize(as_quantizable(small_graph), other, scheme="affine", recipe=load_recipe("default"))


def test_table_of_too_few_images_is_refused(
    small_graph: FloatGraph, table: CalibrationTable
) -> None:
    recipe = replace(load_recipe("default"), minimum_images=50)
    with pytest.raises(CalibrationError, match="at least 50"):
        quantize(as_quantizable(small_graph), table, scheme="affine", recipe=recipe)


def test_passes_that_need_images_refuse_a_table_without(
    small_graph: FloatGraph, table: CalibrationTable
) -> None:
    bare = CalibrationTable(
        tensors=table.tensors, images=table.images, skipped={}, graph_sha256=table.graph_sha256
    )
    for settings in ({"rounding": "learned"}, {"correct_bias": True}):
        recipe = replace(load_recipe("average"), **settings)
        with pytest.raises(CalibrationError, match="need images"):
            quantize(as_quantizable(small_graph), bare, scheme="affine", recipe=recipe)
    quantize(as_quantizable(small_graph), bare, scheme="affine", recipe=load_recipe("average"))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_learned_rounding_changes_weights_and_biases_alone(
    small_graph: FloatGraph, table: CalibrationTable, scheme: SchemeName
) -> None:
    plain = load_recipe("average")
    before, after = (
        GraphView(quantize(as_quantizable(small_graph), table, scheme=scheme, recipe=recipe).model)
        for recipe in (plain, replace(plain, rounding="learned", correct_bias=True))
    )
    name = "backbone.blocks.3.project.conv"
    np.testing.assert_array_equal(
        before.constant(f"{name}.weight.scale"), after.constant(f"{name}.weight.scale")
    )
    moved = after.constant(f"{name}.weight.quantized").astype(int) - before.constant(
        f"{name}.weight.quantized"
    )
    assert 0 < np.abs(moved).max() < 64
    bias = f"{name}.bias.quantized" if scheme == "affine" else f"{name}.bias"
    assert (before.constant(bias) != after.constant(bias)).any()
    if scheme == "symmetric":
        values = after.constant(bias)
        np.testing.assert_array_equal(values, values.astype(np.float16).astype(np.float32))


def test_file_carries_contract_recipe_and_calibration(
    graphs: dict[SchemeName, QuantGraph], table: CalibrationTable, tmp_path: Path
) -> None:
    graph = graphs["affine"]
    save_quant_graph(graph, tmp_path / "q.onnx")
    loaded = load_quant_graph(tmp_path / "q.onnx")
    assert (loaded.contract, loaded.quantization) == (graph.contract, graph.quantization)
    assert loaded.sha256 == graph.sha256
    assert loaded.quantization.calibration.images == 16
    assert loaded.quantization.calibration.images_sha256 == table.images_sha256


def test_float_file_isnt_taken_for_a_quantized_one(small_graph: FloatGraph, tmp_path: Path) -> None:
    save_graph(small_graph, tmp_path / "float.onnx")
    with pytest.raises(GraphError, match="float graph"):
        load_quant_graph(tmp_path / "float.onnx")
