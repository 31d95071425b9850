"""Graphs of a bundle, and TensorRT-RTX, which compiles them without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.table import CalibrationTable
from edgessd.core.errors import BackendError
from edgessd.core.tensors import TensorSpec
from edgessd.graph.float_graph import FloatGraph
from edgessd.runtime.tensorrt.cache import EngineCache, EngineKey
from edgessd.runtime.tensorrt.compiled_engine import CompiledEngine
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider, find_provider


class Graphs(NamedTuple):
    """Both forms of a graph on disk, and the expected tensors of the engine."""

    weak: Path
    strong: Path
    tensors: tuple[TensorSpec, ...]


@pytest.fixture(scope="session")
def rtx() -> Provider:
    pytest.importorskip("tensorrt_rtx", reason="needs the wheel tensorrt-rtx")
    return find_provider("tensorrt_rtx")


@pytest.fixture(scope="session")
def no_gpu() -> None:
    """Skip on a machine with a GPU."""
    from edgessd.runtime.tensorrt.open_cuda import identify_gpu

    try:
        gpu = identify_gpu()
    except BackendError:
        return
    pytest.skip(f"this machine has a GPU: {gpu.name}")


@pytest.fixture(scope="session")
def table(small_graph: FloatGraph, photos: Path) -> CalibrationTable:
    from edgessd.calibrate.collect import collect

    return collect(small_graph, CalibrationSet(photos.iterdir()))


@pytest.fixture(scope="session")
def lowered(
    small_graph: FloatGraph, table: CalibrationTable, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Graphs]:
    """`int8-raw`, `int8-op`, `fp16-raw` and `fp16-op` of an untrained detector."""
    from edgessd.lower.tensorrt.lower import lower_to_tensorrt
    from edgessd.quantize.float_passes.apply import as_quantizable
    from edgessd.quantize.ptq import quantize
    from edgessd.quantize.recipe import load_recipe

    quantized = quantize(
        as_quantizable(small_graph), table, scheme="symmetric", recipe=load_recipe("default")
    )
    made = {}
    for precision, graph in (("int8", quantized), ("fp16", small_graph)):
        for postprocess in ("raw", "op"):
            graphs = lower_to_tensorrt(graph, postprocess=postprocess, provider="tensorrt_rtx")
            folder = tmp_path_factory.mktemp(f"{precision}-{postprocess}")
            weak, strong = folder / "weak.onnx", folder / "strong.onnx"
            weak.write_bytes(graphs.weak)
            strong.write_bytes(graphs.strong)
            tensors = (*graphs.engine_inputs, *graphs.engine_outputs)
            made[f"{precision}-{postprocess}"] = Graphs(weak, strong, tensors)
    return made


@pytest.fixture(scope="session")
def affine_graph(
    small_graph: FloatGraph, table: CalibrationTable, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A Q/DQ graph in TFLite's scheme, whose int32 biases TensorRT refuses."""
    from edgessd.quantize.float_passes.apply import as_quantizable
    from edgessd.quantize.ptq import quantize
    from edgessd.quantize.qdq.quant_graph import save_quant_graph
    from edgessd.quantize.recipe import load_recipe

    path = tmp_path_factory.mktemp("affine") / "affine.onnx"
    save_quant_graph(
        quantize(
            as_quantizable(small_graph), table, scheme="affine", recipe=load_recipe("default")
        ),
        path,
    )
    return path


@pytest.fixture
def plan(tmp_path: Path, rtx: Provider) -> Path:
    """A plan in the engine cache, of the installed TensorRT-RTX, for an RTX 4090."""
    image = TensorSpec(name="image", shape=(1, 3, 8, 8), dtype="float16", layout="NCHW")
    key = EngineKey(
        provider=rtx.name,
        version=rtx.version_text,
        gpu="RTX 4090",
        compute_capability="8.9",
        l4t="",
        graph_sha256="ab" * 32,
        options=EngineOptions(precision="fp16"),
        inputs=(image,),
        outputs=(TensorSpec(name="box_codes", shape=(1, 4, 4), dtype="float16"),),
    )
    engine = CompiledEngine(content=b"plan", typed="strongly", report=None, seconds=0.0)
    return EngineCache(tmp_path).get_or_compile(key, lambda: engine).plan
