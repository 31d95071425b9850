"""The command line of trtexec by version, and what becomes of the program's end.

The programs here are shell scripts in trtexec's place: they show how edgessd takes an exit status, a log
and a half-written file. What TensorRT itself does isn't shown by them.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from edgessd.core.errors import BackendError, LoweringError
from edgessd.core.tensors import QuantParams, TensorSpec
from edgessd.runtime.tensorrt.compile import compile_engine
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider
from edgessd.runtime.tensorrt.trtexec import command_line

QUANTIZED = QuantParams(scale=1 / 128)
INT8_TENSORS = (
    TensorSpec(name="image", shape=(1, 3, 8, 8), dtype="int8", quantization=QUANTIZED),
    TensorSpec(name="box_codes", shape=(1, 4, 4), dtype="int8", quantization=QUANTIZED),
    TensorSpec(name="class_scores", shape=(1, 4, 2), dtype="int8", quantization=QUANTIZED),
)
FP16_TENSORS = tuple(
    msgspec.structs.replace(spec, dtype="float16", quantization=None) for spec in INT8_TENSORS
)
INT8 = EngineOptions(precision="int8", workspace_mb=512, optimization_level=4)


def provider(version: tuple[int, ...], program: Path = Path("/opt/trtexec")) -> Provider:
    return Provider(name="tensorrt", version=version, trtexec=program)


def line(version: tuple[int, ...], options: EngineOptions = INT8, tensors=INT8_TENSORS) -> str:
    files = Path("g.onnx"), Path("e.plan"), Path("l.json")
    return " ".join(command_line(provider(version), *files, options, tensors))


def test_8_5_has_neither_skip_inference_nor_optimization_levels() -> None:
    assert line((8, 5, 2)) == (
        "/opt/trtexec --onnx=g.onnx --saveEngine=e.plan --buildOnly --profilingVerbosity=detailed "
        "--exportLayerInfo=l.json --memPoolSize=workspace:512 --fp16 --int8 "
        "--inputIOFormats=int8:chw --outputIOFormats=int8:chw,int8:chw"
    )


def test_10_takes_precisions_and_types_of_inputs_and_outputs() -> None:
    assert line((10, 3, 0)) == (
        "/opt/trtexec --onnx=g.onnx --saveEngine=e.plan --skipInference "
        "--profilingVerbosity=detailed --exportLayerInfo=l.json --memPoolSize=workspace:512 "
        "--builderOptimizationLevel=4 --fp16 --int8 "
        "--inputIOFormats=int8:chw --outputIOFormats=int8:chw,int8:chw"
    )


def test_fp16_sets_no_int8_and_half_precision_inputs_and_outputs() -> None:
    text = line((8, 6, 1), EngineOptions(precision="fp16"), FP16_TENSORS)
    assert "--int8" not in text
    assert "--fp16 --inputIOFormats=fp16:chw --outputIOFormats=fp16:chw,fp16:chw" in text


def test_11_takes_all_types_from_the_graph() -> None:
    text = line((11, 4, 1))
    assert not any(word in text for word in ("--fp16", "--int8", "IOFormats", "stronglyTyped"))
    assert "--builderOptimizationLevel=4" in text


def test_dla_falls_back_to_the_gpu() -> None:
    text = line((10, 3, 0), msgspec.structs.replace(INT8, dla_core=1))
    assert text.endswith("--useDLACore=1 --allowGPUFallback")


def test_it_compiles_for_no_other_gpu() -> None:
    with pytest.raises(BackendError, match=r"only for the GPU of its own machine.*8\.7"):
        line((10, 3, 0), msgspec.structs.replace(INT8, compute_capabilities=("8.7",)))


@pytest.fixture
def build(tmp_path: Path):
    """Compile with a script that may read $PLAN, $LAYERS and $ONNX."""

    def run(script: str, version: tuple[int, ...] = (10, 3, 0)):
        program = tmp_path / "trtexec"
        program.write_text(
            "#!/bin/sh\n"
            'for word in "$@"; do case "$word" in\n'
            "--saveEngine=*) PLAN=${word#*=};; --exportLayerInfo=*) LAYERS=${word#*=};;\n"
            "--onnx=*) ONNX=${word#*=};;\n"
            f"esac; done\n{script}\n"
        )
        program.chmod(0o755)
        weak, strong = tmp_path / "weak.onnx", tmp_path / "strong.onnx"
        weak.write_bytes(b"weak")
        strong.write_bytes(b"strong")
        return compile_engine(
            weak,
            strong,
            INT8,
            provider(version, program),
            tensors=INT8_TENSORS,
            timing_cache=tmp_path / "timing.cache",
            log=tmp_path / "build.log",
        )

    return run


def test_a_successful_build_gives_engine_report_and_log(build, tmp_path: Path) -> None:
    layers = json.dumps({"Layers": [{"Name": "conv", "Weights": {"Type": "Int8"}}]})
    engine = build(
        f"cp $ONNX $PLAN; echo '{layers}' > $LAYERS; echo '&&&& PASSED TensorRT.trtexec'"
    )
    assert engine.content == b"weak"
    assert engine.typed == "weakly"
    assert engine.report is not None
    assert engine.report.counts == {"INT8": 1}
    log = (tmp_path / "build.log").read_text()
    assert "--timingCacheFile=" in log
    assert "PASSED" in log


def test_11_compiles_the_strongly_typed_graph(build) -> None:
    engine = build("cp $ONNX $PLAN; echo '&&&& PASSED TensorRT.trtexec'", (11, 4, 1))
    assert (engine.content, engine.typed) == (b"strong", "strongly")


def test_a_refused_graph_is_reported_with_the_parsers_message(build) -> None:
    script = (
        "echo '[11/21/2026-05:00:00] [E] [TRT] ModelImporter.cpp:771: While parsing node number 3:'\n"
        "echo '[11/21/2026-05:00:00] [E] [TRT] ModelImporter.cpp:773: In node stem.bias.dq'\n"
        "echo '&&&& FAILED TensorRT.trtexec'; exit 1"
    )
    with pytest.raises(LoweringError, match=r"refuses weak\.onnx.*In node stem\.bias\.dq"):
        build(script)


def test_a_half_written_engine_is_not_taken(build) -> None:
    script = "head -c 3 $ONNX > $PLAN; echo '[E] Saving engine failed.'; exit 1"
    with pytest.raises(BackendError, match="Saving engine failed"):
        build(script)


def test_an_engine_of_a_build_that_did_not_pass_is_not_taken(build) -> None:
    with pytest.raises(BackendError, match="exit status 0 and no engine"):
        build("cp $ONNX $PLAN")


def test_a_killed_build_is_taken_for_a_lack_of_memory(build) -> None:
    with pytest.raises(BackendError, match=r"killed by signal 9 \(out of memory.*add swap"):
        build("kill -9 $$")


def test_a_missing_program_is_refused(tmp_path: Path) -> None:
    graph = tmp_path / "g.onnx"
    graph.touch()
    with pytest.raises(BackendError, match="can't be run"):
        compile_engine(graph, graph, INT8, provider((10, 3, 0), tmp_path / "gone"))
