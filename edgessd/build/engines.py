"""Make a target's engine from a float or quantized graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from edgessd.bundle.manifest import EngineFile, Finish
from edgessd.bundle.store import describe_companion, describe_engine
from edgessd.graph.float_graph import (
    FloatGraph,
    float_metadata,
    float_tensors,
    model_content,
)
from edgessd.lower.tflite.lower import InputDType, lower_to_tflite
from edgessd.quantize.qdq.quant_graph import QuantGraph, quant_metadata
from edgessd.target.spec import PostprocessMode, TargetSpec

# TensorRT-RTX doesn't compile for Jetson's GPUs. This capability is Ampere, as Orin's is.
_CHECKED_ON = "8.6"


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """An engine before it is written.

    Attributes:
        file: Description of the engine's file.
        content: Bytes of the engine.
        companions: Bytes of the files beside it, by name.
        finish: Graphs that TensorRT compiles; None for other formats.
        needs_finish: True if the device must compile the engine.
        tools: Version of the compiler by its name, if one has run.
        advice: Sentences about layers that could be faster.
    """

    file: EngineFile
    content: bytes
    companions: Mapping[str, bytes] = field(default_factory=dict)
    finish: Finish | None = None
    needs_finish: bool = False
    tools: Mapping[str, str] = field(default_factory=dict)
    advice: tuple[str, ...] = ()


def make_engine(
    target: TargetSpec, graph: FloatGraph | QuantGraph, postprocess: PostprocessMode
) -> Engine:
    """Make the engine in the target's format.

    Raises:
        LoweringError: The engine's format can't express the graph.
    """
    if target.engine.format == "tensorrt":
        return _tensorrt(target, graph, postprocess)
    if target.engine.format == "tflite" and isinstance(graph, QuantGraph):
        return _tflite(target, graph, postprocess)
    return _onnx(graph)


def _tflite(target: TargetSpec, graph: QuantGraph, postprocess: PostprocessMode) -> Engine:
    spec = target.engine
    # The detection operator is for other people's clients, which feed pixels as they are.
    input_dtype = "uint8" if postprocess == "op" else spec.input_dtype
    lowered = lower_to_tflite(
        graph,
        input_dtype=cast(InputDType, input_dtype),
        postprocess=postprocess,
        column_pairs=spec.column_pairs,
    )
    return Engine(
        file=describe_engine(
            "engine.tflite",
            lowered.content,
            format="tflite",
            inputs=lowered.inputs,
            outputs=lowered.outputs,
        ),
        content=lowered.content,
    )


def _tensorrt(
    target: TargetSpec, graph: FloatGraph | QuantGraph, postprocess: PostprocessMode
) -> Engine:
    """Lower both forms of the graph, and compile the engine if that needs no device."""
    from edgessd.lower.tensorrt.ahead_of_time import compile_ahead_of_time, installed_compiler
    from edgessd.lower.tensorrt.lower import lower_to_tensorrt

    spec = target.tensorrt
    assert spec is not None  # a TargetSpec of this format has one
    lower = partial(
        lower_to_tensorrt,
        graph,
        postprocess=postprocess,
        nms_max_candidates=spec.nms_max_candidates,
    )
    graphs = lower(provider=spec.provider)
    stem = "qdq" if graphs.precision == "int8" else "engine"
    weak, strong = f"{stem}.onnx", f"{stem}.fp16.onnx"
    finish = Finish(
        weakly_typed=describe_companion(weak, graphs.weak),
        strongly_typed=describe_companion(strong, graphs.strong),
        precision=graphs.precision,
        inputs=graphs.engine_inputs,
        outputs=graphs.engine_outputs,
    )
    # A graph that NVIDIA's compiler refuses here would be refused on the device too.
    compiler = installed_compiler()
    here = spec.provider == "tensorrt_rtx"
    capabilities = spec.compute_capabilities if here else (_CHECKED_ON,)
    # TensorRT-RTX has no NMS layer, so for TensorRT it checks the graph with suppression by operators.
    checked = graphs if here or postprocess == "raw" else lower(provider="tensorrt_rtx")
    compiled = compile_ahead_of_time(checked, compiler, capabilities) if compiler else None
    engine = Engine(
        file=describe_engine(
            weak,
            graphs.weak,
            format="onnx",
            inputs=graphs.reference_inputs,
            outputs=graphs.reference_outputs,
        ),
        content=graphs.weak,
        companions={strong: graphs.strong},
        finish=finish,
        needs_finish=True,
        tools={compiler.name: compiler.version_text} if compiler else {},
        advice=graphs.advice,
    )
    if compiled is None or target.engine.compiled_on_device:
        return engine
    return replace(
        engine,
        file=describe_engine(
            "engine.plan",
            compiled.content,
            format="tensorrt",
            inputs=finish.inputs,
            outputs=finish.outputs,
        ),
        content=compiled.content,
        companions={weak: graphs.weak, strong: graphs.strong},
        needs_finish=False,
    )


def _onnx(graph: FloatGraph | QuantGraph) -> Engine:
    metadata = float_metadata(graph) if isinstance(graph, FloatGraph) else quant_metadata(graph)
    content = model_content(graph.model, metadata)
    tensors = float_tensors(graph.contract)
    file = describe_engine(
        "engine.onnx", content, format="onnx", inputs=tensors.inputs, outputs=tensors.outputs
    )
    return Engine(file=file, content=content)
