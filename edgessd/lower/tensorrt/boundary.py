"""Let int8 pixels enter a graph and int8 outputs leave it."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgessd.core.errors import LoweringError
from edgessd.core.network_tensors import INPUT
from edgessd.core.tensors import QuantParams, TensorSpec
from edgessd.graph.view import GraphView, copy_of, replace_nodes, set_initializer
from edgessd.quantize.float_passes.absorb_preprocess import CENTER
from edgessd.quantize.qdq import names


def integer_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let `image` enter as int8, pixel - 128, straight into a DequantizeLinear.

    The first QuantizeLinear is removed. If a recipe keeps the image float there is none, and a
    DequantizeLinear is added. (pixel - 128) / 128 is exact either way, so int8 loses nothing, and a quarter
    of the bytes is copied.

    Raises:
        LoweringError: The input has another scale or zero point, so int8 pixels would mean other values.
    """
    view = GraphView(model)
    model = copy_of(model)
    image = model.graph.input[0]
    quantizers = [node for node in view.consumers(INPUT) if node.op_type == "QuantizeLinear"]
    nodes = list(model.graph.node)
    if quantizers:
        (quantizer,) = quantizers
        _require_pixels(view, quantizer)
        nodes = [node for node in nodes if node.name != quantizer.name]
        _rename_input(nodes, quantizer.output[0], INPUT)
    else:
        rounded = names.dequantized(INPUT)
        _rename_input(nodes, INPUT, rounded)
        parameters = [names.scale(INPUT), names.zero_point(INPUT)]
        set_initializer(model, parameters[0], np.array(1 / CENTER, np.float32))
        set_initializer(model, parameters[1], np.array(0, np.int8))
        made = helper.make_node(
            "DequantizeLinear", [INPUT, *parameters], [rounded], names.dequantizer(INPUT)
        )
        nodes = [made, *nodes]
    image.type.tensor_type.elem_type = TensorProto.INT8
    replace_nodes(model, nodes)
    return model


def integer_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace each output of a DequantizeLinear by its int8 input, under the output's name.

    Outputs that a recipe keeps float stay float.
    """
    view = GraphView(model)
    model = copy_of(model)
    nodes = list(model.graph.node)
    for output in model.graph.output:
        last = view.producer(output.name)
        if last is None or last.op_type != "DequantizeLinear":
            continue
        if view.only_consumer(last.input[0]) is None:
            raise LoweringError(
                f"The integers of {output.name!r} have another reader", found=last.name
            )
        nodes = [node for node in nodes if node.name != last.name]
        for node in nodes:
            node.output[:] = [output.name if n == last.input[0] else n for n in node.output]
        output.type.tensor_type.elem_type = TensorProto.INT8
    replace_nodes(model, nodes)
    return model


def output_spec(view: GraphView, name: str, shape: tuple[int, ...]) -> TensorSpec:
    """Describe an output of a graph from `integer_outputs`: int8 with its scale, or float32."""
    last = view.producer(name)
    if last is None or last.op_type != "QuantizeLinear":
        return TensorSpec(name=name, shape=shape, dtype="float32")
    scale = float(view.constant(last.input[1]).item())
    return TensorSpec(name=name, shape=shape, dtype="int8", quantization=QuantParams(scale=scale))


def _require_pixels(view: GraphView, quantizer: onnx.NodeProto) -> None:
    scale, zero_point = (view.constant(name).item() for name in quantizer.input[1:3])
    if scale != 1 / CENTER or zero_point != 0:
        raise LoweringError(
            "The image isn't quantized as pixel - 128",
            expected=f"scale {1 / CENTER} and zero point 0",
            found=f"{scale:g} and {zero_point}",
            fix="Quantize the graph with the symmetric scheme again.",
        )


def _rename_input(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]
