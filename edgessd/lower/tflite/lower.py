"""Lower a quantized graph to the bytes of a `.tflite` file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

import onnx

from edgessd.core.contract import Contract
from edgessd.core.errors import LoweringError
from edgessd.core.network_tensors import (
    BOX_CODES,
    CLASS_SCORES,
    DETECTION_SIGNATURE,
    INPUT,
    image_spec,
    output_shapes,
)
from edgessd.core.tensors import Layout, QuantParams, TensorSpec
from edgessd.lower.tflite.column_pairs import PAIR_COLUMNS, pair_columns
from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.graph_reader import DEPTHWISE, REQUANTIZE, read_network
from edgessd.lower.tflite.ir import Activation, QuantNetwork, QuantNode
from edgessd.lower.tflite.postprocess import add_postprocess, reorder_box_codes
from edgessd.target.spec import PostprocessMode

if TYPE_CHECKING:
    from edgessd.quantize.qdq.quant_graph import QuantGraph

InputDType = Literal["uint8", "int8"]

DESCRIPTION = "edgessd int8 detector"
# Difference between the zero points of an int8 and a uint8 tensor with the same real values.
UINT8_OFFSET = 128

# Module with `lower(node, builder)` by operator of `ir.QuantNode`.
OPS: dict[str, str] = {
    "Add": "add",
    "AveragePool": "avg_pool",
    "Clip": "relu",
    "Concat": "concat",
    "Conv": "conv",
    DEPTHWISE: "depthwise",
    "Flatten": "reshape",
    "GlobalAveragePool": "avg_pool",
    "MaxPool": "max_pool",
    "Pad": "pad",
    PAIR_COLUMNS: "pair_columns",
    "Relu": "relu",
    REQUANTIZE: "quantize",
    "Reshape": "reshape",
    "Transpose": "transpose",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoweredModel:
    """Content of a `.tflite` file and its tensors, in the engine's order."""

    content: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def lower_to_tflite(
    graph: QuantGraph,
    *,
    input_dtype: InputDType = "int8",
    postprocess: PostprocessMode = "raw",
    column_pairs: bool = False,
) -> LoweredModel:
    """Lower a detector.

    Args:
        graph: Scheme `affine`, with the input `image` and the outputs `box_codes`, `class_scores`.
        input_dtype: `int8` takes pixel - 128, one flipped bit. `uint8` takes pixels as a camera gives
            them and costs a QUANTIZE, which no delegate runs: 0.2 ms for 300x300 pixels.
        postprocess: `raw` ends in the quantized tensors `box_codes` and `class_scores`; `op` ends in
            TFLite_Detection_PostProcess, which decodes and suppresses inside the engine.
        column_pairs: Let the first convolution read two pixels as one of twice the channels. The
            results are the same to the bit; x86 kernels work on 8 channels at a time and waste
            fewer of them (the whole detector gains about 3%), Arm kernels would lose about 1%.

    Raises:
        LoweringError: TFLite's int8 kernels can't express the graph; the message names the node.
    """
    if graph.scheme != "affine":
        raise LoweringError(
            "TFLite can't take this quantized graph",
            expected="scheme 'affine'",
            found=f"scheme {graph.scheme!r}",
            fix="Quantize again with scheme='affine'; the calibration table serves both",
        )
    network = read_network(graph.model)
    _check_detector(network, graph.contract)
    if column_pairs:
        network = pair_columns(network)
    if postprocess == "raw":
        return serialize(network, input_dtype=input_dtype)
    return _with_postprocess(network, graph.contract, input_dtype)


def lower_network(
    model: onnx.ModelProto, *, input_dtype: InputDType = "int8", column_pairs: bool = False
) -> LoweredModel:
    """Lower any Q/DQ graph with one input, not only a detector; outputs stay int8."""
    network = read_network(model)
    return serialize(pair_columns(network) if column_pairs else network, input_dtype=input_dtype)


def serialize(network: QuantNetwork, *, input_dtype: InputDType) -> LoweredModel:
    """Lower every node; the engine's outputs are the network's own int8 outputs."""
    builder = ModelBuilder()
    image = _add_input(builder, network, input_dtype)
    _add_nodes(builder, network)
    specs = tuple(_spec(output, output.name) for output in network.outputs)
    indices = [builder.activation(output) for output in network.outputs]
    content = builder.build(
        description=DESCRIPTION,
        inputs={image.name: 0},
        outputs=indices,
        signature_outputs={spec.name: index for spec, index in zip(specs, indices, strict=True)},
    )
    return LoweredModel(content=content, inputs=(image,), outputs=specs)


def _with_postprocess(
    network: QuantNetwork, contract: Contract, input_dtype: InputDType
) -> LoweredModel:
    network = reorder_box_codes(network, BOX_CODES)
    builder = ModelBuilder()
    image = _add_input(builder, network, input_dtype)
    _add_nodes(builder, network)
    outputs = {output.name: output for output in network.outputs}
    indices, specs = add_postprocess(builder, outputs[BOX_CODES], outputs[CLASS_SCORES], contract)
    content = builder.build(
        description=DESCRIPTION,
        inputs={image.name: 0},
        outputs=indices,
        signature_outputs=dict(zip(DETECTION_SIGNATURE, indices, strict=True)),
    )
    return LoweredModel(content=content, inputs=(image,), outputs=specs)


def _add_input(builder: ModelBuilder, network: QuantNetwork, dtype: InputDType) -> TensorSpec:
    """Add the input tensor, with index 0; a uint8 input is converted by one QUANTIZE."""
    if len(network.inputs) != 1:
        names = ", ".join(repr(value.name) for value in network.inputs)
        raise LoweringError("The graph must have one input", expected="1", found=names or "none")
    (image,) = network.inputs
    if dtype == "int8":
        builder.activation(image)
        return _spec(image, image.name)
    qparams = QuantParams(
        scale=image.params.scale, zero_point=image.params.zero_point + UINT8_OFFSET
    )
    spec = TensorSpec(
        name=image.name,
        shape=image.physical_shape,
        dtype="uint8",
        quantization=qparams,
        layout=_layout(image),
    )
    pixels = builder.tensor(image.name, spec.shape, "uint8", qparams)
    target = builder.activation(image, name=f"{image.name}/int8")
    builder.operator("QUANTIZE", 1, [pixels], [target], ("QuantizeOptions", {}))
    return spec


def _add_nodes(builder: ModelBuilder, network: QuantNetwork) -> None:
    for node in network.nodes:
        _lower_node(node, builder)


def _lower_node(node: QuantNode, builder: ModelBuilder) -> None:
    module = OPS.get(node.op_type)
    if module is None:
        node.refuse("there is no lowering for this op", expected=f"one of {', '.join(sorted(OPS))}")
    import_module(f"edgessd.lower.tflite.ops.{module}").lower(node, builder)


def _check_detector(network: QuantNetwork, contract: Contract) -> None:
    """Refuse a graph with other tensors than the contract describes."""
    expected = {INPUT: image_spec(contract.preprocess).shape, **output_shapes(contract)}
    found = {value.name: value.shape for value in (*network.inputs, *network.outputs)}
    if found != expected:
        raise LoweringError(
            "The graph doesn't fit its contract", expected=str(expected), found=str(found)
        )


def _spec(activation: Activation, name: str) -> TensorSpec:
    return TensorSpec(
        name=name,
        shape=activation.physical_shape,
        dtype="int8",
        quantization=activation.params,
        layout=_layout(activation),
    )


def _layout(activation: Activation) -> Layout:
    return "NHWC" if activation.layout == "NCHW" else "flat"
