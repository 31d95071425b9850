"""NVIDIA's own parser and builder accept the graphs of the TensorRT lowering.

TensorRT-RTX builds ahead of time, without a GPU, so these are real engines. It compiles the strongly
typed form, as TensorRT 11 does; the weakly typed one is given to its parser and builder as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import onnx
import pytest

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.core.errors import BackendError, LoweringError
from edgessd.graph.export import export_float_graph, export_module
from edgessd.graph.float_graph import FloatGraph
from edgessd.lower.tensorrt.lower import TensorRtGraphs, lower_to_tensorrt
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.recipe import Exemption, Recipe, without_minimum
from edgessd.runtime.tensorrt.compile import compile_engine
from edgessd.runtime.tensorrt.compiled_engine import CompiledEngine
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider, find_provider
from edgessd.target.spec import PostprocessMode

pytestmark = pytest.mark.slow

Form = Literal["weak", "strong"]


@pytest.fixture(scope="module")
def rtx() -> Provider:
    try:
        return find_provider("tensorrt_rtx")
    except BackendError as error:
        pytest.skip(f"no builder here: {error}")


def voc(request: pytest.FixtureRequest) -> FloatGraph:
    graph: FloatGraph = request.getfixturevalue("voc_graph")
    return graph


def starter(request: pytest.FixtureRequest) -> FloatGraph:
    from edgessd.model.checkpoint import load_checkpoint
    from edgessd.runtime.starter import starter_checkpoint

    return export_float_graph(load_checkpoint(starter_checkpoint()))


def half_width(request: pytest.FixtureRequest) -> FloatGraph:
    """An untrained detector of width 0.5, whose batch norm has seen noise."""
    import torch

    from edgessd.model.new_detector import new_detector
    from edgessd.model.ssdlite import build_model

    torch.manual_seed(5)
    config, contract = new_detector(("a", "b"), width=0.5, input_size=(160, 128))
    model = build_model(config, contract)
    with torch.no_grad():
        model.train()(torch.rand(4, 3, 128, 160) * 2 - 1)
    return export_module(model, contract)


DETECTORS = (
    pytest.param(voc, marks=pytest.mark.slow, id="voc"),
    pytest.param(starter, marks=pytest.mark.slow, id="starter"),
    pytest.param(half_width, id="half_width"),
)


@pytest.fixture(scope="module", params=DETECTORS)
def float_graph(request: pytest.FixtureRequest) -> FloatGraph:
    graph: FloatGraph = request.param(request)
    return graph


@pytest.fixture(scope="module")
def quant_graph(float_graph: FloatGraph, photos: Path, cheap_recipe: Recipe) -> QuantGraph:
    return quantized(float_graph, photos, cheap_recipe)


def quantized(
    graph: FloatGraph, photos: Path, recipe: Recipe, kept_float: tuple[str, ...] = ()
) -> QuantGraph:
    table = collect(graph, CalibrationSet(sorted(photos.iterdir())[:2]), minimum=1)
    recipe = without_minimum(recipe)
    if kept_float:
        exemption = Exemption(tensors=kept_float, keep_float=True)
        recipe = msgspec.structs.replace(recipe, exemptions=(exemption,))
    return quantize(as_quantizable(graph), table, scheme="symmetric", recipe=recipe)


@pytest.fixture
def compiled(rtx: Provider, tmp_path: Path) -> Callable[..., CompiledEngine]:
    def run(lowered: TensorRtGraphs, form: Form = "strong") -> CompiledEngine:
        graph = tmp_path / f"{form}.onnx"
        graph.write_bytes(getattr(lowered, form))
        engine = form == "strong"
        return compile_engine(
            graph,
            graph,
            EngineOptions(precision=lowered.precision, compute_capabilities=("8.6",)),
            rtx,
            # The weakly typed form gets these types from the other TensorRT only.
            tensors=(*lowered.engine_inputs, *lowered.engine_outputs) if engine else (),
        )

    return run


def lower(graph: FloatGraph | QuantGraph, postprocess: PostprocessMode) -> TensorRtGraphs:
    return lower_to_tensorrt(graph, postprocess=postprocess, provider="tensorrt_rtx")


@pytest.mark.parametrize("postprocess", ["raw", "op"])
def test_int8_engine_is_built(
    quant_graph: QuantGraph, compiled: Callable[..., CompiledEngine], postprocess: PostprocessMode
) -> None:
    engine = compiled(lower(quant_graph, postprocess))
    assert engine.typed == "strongly"
    assert len(engine.content) > 100_000


@pytest.mark.parametrize("postprocess", ["raw", "op"])
def test_fp16_engine_is_built(
    float_graph: FloatGraph, compiled: Callable[..., CompiledEngine], postprocess: PostprocessMode
) -> None:
    lowered = lower(float_graph, postprocess)
    assert lowered.precision == "fp16"
    assert len(compiled(lowered).content) > 100_000


def test_the_weakly_typed_form_is_accepted_too(
    small_graph: FloatGraph,
    photos: Path,
    cheap_recipe: Recipe,
    compiled: Callable[..., CompiledEngine],
) -> None:
    assert compiled(lower(quantized(small_graph, photos, cheap_recipe), "op"), "weak").content
    assert compiled(lower(small_graph, "raw"), "weak").content


@pytest.mark.parametrize(
    "kept_float",
    [
        ("image",),
        ("box_codes", "class_scores"),
        ("image", "box_codes", "class_scores", "backbone.blocks.2.add"),
    ],
)
def test_a_recipe_that_keeps_tensors_float_builds(
    small_graph: FloatGraph,
    photos: Path,
    cheap_recipe: Recipe,
    compiled: Callable[..., CompiledEngine],
    kept_float: tuple[str, ...],
) -> None:
    graph = quantized(small_graph, photos, cheap_recipe, kept_float)
    assert compiled(lower(graph, "op" if "image" in kept_float else "raw")).content


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_nvidias_parser_imports_the_nms_layer(
    small_graph: FloatGraph,
    photos: Path,
    cheap_recipe: Recipe,
    rtx: Provider,
    precision: str,
) -> None:
    """TensorRT-RTX parses it into an INMSLayer and has no kernel for it; TensorRT has."""
    graph = quantized(small_graph, photos, cheap_recipe) if precision == "int8" else small_graph
    lowered = lower_to_tensorrt(graph, postprocess="op", provider="tensorrt")
    for content in (lowered.weak, lowered.strong):
        network = parsed(rtx, content)
        kinds = [network.get_layer(index).type.name for index in range(network.num_layers)]
        assert kinds.count("NMS") == 1
        outputs = [network.get_output(index) for index in range(network.num_outputs)]
        assert [(output.name, tuple(output.shape)) for output in outputs] == [
            (spec.name, spec.shape) for spec in lowered.engine_outputs
        ]


def parsed(rtx: Provider, content: bytes) -> Any:
    trt: Any = rtx.module
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(content), [str(parser.get_error(n)) for n in range(parser.num_errors)]
    # The network needs its builder, and its constants point into the parser's memory.
    _ALIVE.append((builder, parser))
    return network


_ALIVE: list[Any] = []


def test_a_refused_graph_fails_with_the_parsers_words(
    small_graph: FloatGraph,
    photos: Path,
    cheap_recipe: Recipe,
    compiled: Callable[..., CompiledEngine],
) -> None:
    from dataclasses import replace

    lowered = lower(quantized(small_graph, photos, cheap_recipe), "raw")
    model = onnx.load_from_string(lowered.strong)
    for entry in model.graph.initializer:
        if entry.name == "backbone.blocks.2.add.zero_point":
            entry.raw_data = b"\x05"
    with pytest.raises(LoweringError, match=r"refuses strong.onnx.*(?i:zero.?point)"):
        compiled(replace(lowered, strong=model.SerializeToString()))
