"""Lower a float or quantized graph to the two .onnx forms that TensorRT compiles on the device.

TensorRT below 11 compiles a weakly typed network: the graph is float32 with int8 between Q/DQ pairs, and
the builder runs the rest in FP16 if that is faster. TensorRT 11 and TensorRT-RTX compile a strongly typed
network, which has float16 tensors. Both are written here, since a device has no library that rewrites
graphs. onnxruntime runs the weakly typed form as the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import msgspec
import onnx

from edgessd.core.errors import LoweringError
from edgessd.core.network_tensors import OUTPUTS, image_spec
from edgessd.core.onnx_metadata import TENSORS_KEY
from edgessd.core.tensors import EngineTensors, TensorSpec
from edgessd.graph.float_graph import FloatGraph, float_metadata, float_tensors, model_content
from edgessd.graph.verify import checked
from edgessd.graph.view import GraphView
from edgessd.lower.tensorrt.boundary import (
    integer_input,
    integer_outputs,
    output_spec,
)
from edgessd.lower.tensorrt.detection import append_detection
from edgessd.lower.tensorrt.float16 import to_float16
from edgessd.lower.tensorrt.op_writer import PREFIX
from edgessd.lower.tensorrt.qdq_lint import advise_on_qdq, lint_qdq
from edgessd.lower.tensorrt.relu import clip_to_relu
from edgessd.quantize.ptq import IMAGE_PARAMS
from edgessd.quantize.qdq.quant_graph import QuantGraph, quant_metadata
from edgessd.target.precision import Precision
from edgessd.target.spec import PostprocessMode

Append = Callable[[onnx.ModelProto], tuple[onnx.ModelProto, tuple[TensorSpec, ...]]]
Provider = Literal["tensorrt", "tensorrt_rtx"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorRtGraphs:
    """Both forms of one graph.

    Attributes:
        weak: .onnx with float32 scales, biases and float tensors, opset 17.
        strong: .onnx with float16 in their place, opset 19. Decode and suppression stay float32.
        precision: Precision of the convolutions.
        reference_inputs, reference_outputs: Tensors of `weak` in onnxruntime.
        engine_inputs, engine_outputs: Tensors of the engine compiled from either form.
        advice: Sentences about layers that could be faster.
    """

    weak: bytes
    strong: bytes
    precision: Precision
    reference_inputs: tuple[TensorSpec, ...]
    reference_outputs: tuple[TensorSpec, ...]
    engine_inputs: tuple[TensorSpec, ...]
    engine_outputs: tuple[TensorSpec, ...]
    advice: tuple[str, ...] = ()


def lower_to_tensorrt(
    graph: QuantGraph | FloatGraph,
    *,
    postprocess: PostprocessMode = "raw",
    nms_max_candidates: int = 5000,
    provider: Provider = "tensorrt",
) -> TensorRtGraphs:
    """Lower a graph of the symmetric scheme to int8, or a float graph to fp16.

    Args:
        graph: Graph to lower.
        postprocess: `raw` ends in `box_codes` and `class_scores`, int8 if they are quantized; `op` ends in
            the four float32 outputs of `detection.append_detection`.
        nms_max_candidates: For `op`: largest number of boxes that the device's INMSLayer compares.
        provider: For `op`: library that compiles; TensorRT-RTX has no INMSLayer.

    Raises:
        LoweringError: The graph has another scheme, TensorRT couldn't run it (the message names every
            place), or `op` can't express the contract.
    """
    append = None
    if postprocess == "op":
        append = partial(
            append_detection,
            contract=graph.contract,
            suppression="layer" if provider == "tensorrt" else "operators",
            limit=nms_max_candidates,
        )
    if isinstance(graph, FloatGraph):
        return _lower_float(graph, append)
    return _lower_quantized(graph, append)


def _lower_quantized(graph: QuantGraph, append: Append | None) -> TensorRtGraphs:
    if graph.scheme != "symmetric":
        raise LoweringError(
            "TensorRT can't run this quantized graph",
            expected="the symmetric scheme",
            found=f"the {graph.scheme} scheme",
            fix="Quantize for a TensorRT target.",
        )
    kept_float = [
        pattern
        for exemption in graph.recipe.exemptions
        if exemption.keep_float and exemption.scheme in (None, graph.scheme)
        for pattern in exemption.tensors
    ]
    _require_sound_qdq(graph.model, kept_float)
    advice = tuple(str(entry) for entry in advise_on_qdq(graph.model))
    model = checked(clip_to_relu(graph.model), after="clip_to_relu")
    model = checked(integer_input(model), after="integer_input")
    inputs = (image_spec(graph.contract.preprocess, dtype="int8", quantization=IMAGE_PARAMS),)
    if append is not None:
        model, outputs = append(model)
        model = checked(model, after="append_detection")
    else:
        model = checked(integer_outputs(model), after="integer_outputs")
        view = GraphView(model)
        outputs = tuple(output_spec(view, name, view.shape(name)) for name in OUTPUTS)
    strong = checked(to_float16(model, float32_nodes=_float32_nodes(model)), after="to_float16")
    for form in (model, strong):
        _require_sound_qdq(form, kept_float)
    return _graphs(
        (model, strong),
        quant_metadata(graph),
        precision="int8",
        inputs=inputs,
        outputs=outputs,
        decoded=append is not None,
        advice=advice,
    )


def _lower_float(graph: FloatGraph, append: Append | None) -> TensorRtGraphs:
    model = graph.model
    tensors = float_tensors(graph.contract)
    outputs = tensors.outputs
    if append is not None:
        model, outputs = append(model)
    model = checked(model, after="append_detection")
    strong = checked(to_float16(model, float32_nodes=_float32_nodes(model)), after="to_float16")
    return _graphs(
        (model, strong),
        float_metadata(graph),
        precision="fp16",
        inputs=tensors.inputs,
        outputs=outputs,
        decoded=append is not None,
    )


def _graphs(
    forms: tuple[onnx.ModelProto, onnx.ModelProto],
    metadata: dict[str, str],
    *,
    precision: Precision,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    decoded: bool,
    advice: tuple[str, ...] = (),
) -> TensorRtGraphs:
    """Write both forms, each with a description of its own tensors."""
    engine_inputs = _float16_specs(inputs)
    # Boxes in fractions of the input are too fine for float16.
    engine_outputs = outputs if decoded else _float16_specs(outputs)
    tensors = (
        EngineTensors(inputs=inputs, outputs=outputs),
        EngineTensors(inputs=engine_inputs, outputs=engine_outputs),
    )
    weak, strong = (
        model_content(form, {**metadata, TENSORS_KEY: msgspec.json.encode(described).decode()})
        for form, described in zip(forms, tensors, strict=True)
    )
    return TensorRtGraphs(
        weak=weak,
        strong=strong,
        precision=precision,
        reference_inputs=inputs,
        reference_outputs=outputs,
        engine_inputs=engine_inputs,
        engine_outputs=engine_outputs,
        advice=advice,
    )


def _float16_specs(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(
        msgspec.structs.replace(spec, dtype="float16") if spec.dtype == "float32" else spec
        for spec in specs
    )


def _float32_nodes(model: onnx.ModelProto) -> frozenset[str]:
    """Collect the nodes of decoding and suppression, and those that dequantize their inputs."""
    view = GraphView(model)
    appended = {node.name for node in model.graph.node if node.name.startswith(PREFIX)}
    last = {
        producer.name
        for name in OUTPUTS
        if appended and (producer := view.producer(name)) and producer.op_type == "DequantizeLinear"
    }
    return frozenset(appended | last)


def _require_sound_qdq(model: onnx.ModelProto, kept_float: Sequence[str]) -> None:
    violations = lint_qdq(model, kept_float=kept_float)
    if violations:
        raise LoweringError(
            "TensorRT would refuse this graph or run parts of it in float: "
            + "; ".join(str(violation) for violation in violations),
            expected="Q/DQ pairs in the places that its explicit quantization requires",
            found=f"{len(violations)} violation{'s' if len(violations) > 1 else ''}",
        )
