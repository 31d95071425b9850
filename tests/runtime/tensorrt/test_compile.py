"""Engines compiled by TensorRT-RTX's parser and builder for GPUs of other machines."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgessd.core.errors import BackendError, LoweringError
from edgessd.runtime.tensorrt.compile import compile_engine
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider

pytestmark = pytest.mark.slow

INT8 = EngineOptions(precision="int8", compute_capabilities=("8.6",))
FP16 = msgspec.structs.replace(INT8, precision="fp16")


@pytest.mark.parametrize("kind", ["int8-raw", "int8-op", "fp16-raw", "fp16-op"])
def test_compiles_each_form_of_graph_with_the_stated_tensors(
    rtx: Provider, lowered, kind: str, tmp_path: Path
) -> None:
    graphs = lowered[kind]
    log = tmp_path / "build.log"
    engine = compile_engine(
        graphs.weak,
        graphs.strong,
        INT8 if kind.startswith("int8") else FP16,
        rtx,
        tensors=graphs.tensors,
        log=log,
    )
    assert len(engine.content) > 10_000
    assert engine.typed == "strongly"
    assert engine.report is None  # the report needs the engine's GPU
    assert "[INFO] ONNX IR version" in log.read_text()


def test_one_engine_may_be_for_several_gpus(rtx: Provider, lowered) -> None:
    graphs = lowered["int8-raw"]
    one = compile_engine(graphs.weak, graphs.strong, INT8, rtx)
    both = msgspec.structs.replace(INT8, compute_capabilities=("8.6", "8.9"))
    two = compile_engine(graphs.weak, graphs.strong, both, rtx)
    assert one.content != two.content


def test_a_refused_graph_fails_with_the_parsers_message(rtx: Provider, affine_graph: Path) -> None:
    with pytest.raises(LoweringError) as caught:
        compile_engine(affine_graph, affine_graph, INT8, rtx)
    text = str(caught.value)
    assert "TensorRT-RTX" in text
    assert "affine.onnx" in text
    assert "bias.dq (DequantizeLinear)" in text
    assert "input has type Int32 but must have type" in text
    assert "cudaError" not in text


def test_a_file_that_is_no_graph_is_refused(rtx: Provider, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(b"this is no graph")
    with pytest.raises(LoweringError, match=r"refuses cut\.onnx"):
        compile_engine(path, path, INT8, rtx)


def test_a_graph_with_other_types_than_stated_is_refused(rtx: Provider, lowered) -> None:
    graphs = lowered["int8-raw"]
    image = msgspec.structs.replace(graphs.tensors[0], dtype="float16", quantization=None)
    with pytest.raises(
        LoweringError, match=r"image.*differs from what its bundle states.*float16.*INT8"
    ):
        compile_engine(graphs.weak, graphs.strong, INT8, rtx, tensors=(image, *graphs.tensors[1:]))


def test_a_graph_with_other_outputs_than_stated_is_refused(rtx: Provider, lowered) -> None:
    graphs = lowered["int8-raw"]
    with pytest.raises(LoweringError, match=r"differ from those.*Found box_codes, class"):
        compile_engine(graphs.weak, graphs.strong, INT8, rtx, tensors=graphs.tensors[:2])


def test_a_gpu_that_rtx_does_not_know_is_named(rtx: Provider, lowered) -> None:
    graphs = lowered["int8-raw"]
    orin = msgspec.structs.replace(INT8, compute_capabilities=("8.6", "8.7"))
    with pytest.raises(BackendError, match=r"8\.6, 8\.9.*Found 8\.7.*--finish"):
        compile_engine(graphs.weak, graphs.strong, orin, rtx)


def test_compiling_without_a_gpu_is_refused(rtx: Provider, lowered, no_gpu) -> None:
    graphs = lowered["int8-raw"]
    with pytest.raises(BackendError, match=r"couldn't compile.*driver.*edgessd doctor"):
        compile_engine(graphs.weak, graphs.strong, EngineOptions(precision="int8"), rtx)


def test_a_dla_core_that_is_not_there_is_refused(rtx: Provider, lowered) -> None:
    graphs = lowered["fp16-raw"]
    with pytest.raises(BackendError, match=r"no DLA core 1 here.*Found 0 DLA cores.*--dla"):
        compile_engine(graphs.weak, graphs.strong, msgspec.structs.replace(FP16, dla_core=1), rtx)
