"""Read a Q/DQ ONNX graph into the quantized network of `ir.py`.

Each operator must read the output of a DequantizeLinear. Its own output must go into a QuantizeLinear and
nowhere else, through at most one Relu or Clip. Anything else would have to run in float, which an integer
engine can't do: it is refused with the name of the tensor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray

from edgessd.core.errors import LoweringError
from edgessd.core.tensors import QuantParams
from edgessd.graph.dataflow import ACTIVATIONS, clip_bounds
from edgessd.graph.view import GraphView, attribute
from edgessd.lower.tflite.ir import Activation, Clamp, Constant, Layout, QuantNetwork, QuantNode

TO_NHWC, TO_NCHW = [0, 2, 3, 1], [0, 3, 1, 2]
REQUANTIZE, DEPTHWISE = "Requantize", "DepthwiseConv"
_FIX = "Quantize the graph with scheme 'affine'"


def read_network(model: onnx.ModelProto) -> QuantNetwork:
    """Read a Q/DQ graph of opset 13 or later, batch 1, static shapes.

    Raises:
        LoweringError: A tensor between two operators isn't int8, or an operator isn't understood; the
            message names it.
    """
    return _QdqWalk(onnx.shape_inference.infer_shapes(model, strict_mode=True)).read()


class _QdqWalk:
    """Folds Q/DQ pairs into activations in one walk over the nodes, in graph order."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.view = GraphView(model)
        self.dequantized: dict[str, Activation] = {}
        self.quantized: dict[str, Activation] = {}
        self.constants: dict[str, Constant] = {}
        self.nodes: list[QuantNode] = []
        self.made: dict[str, Activation] = {}
        self.graph_names = self._graph_names()

    def read(self) -> QuantNetwork:
        for node in self.model.graph.node:
            if node.op_type == "QuantizeLinear":
                self._quantize(node)
            elif node.op_type == "DequantizeLinear":
                self._dequantize(node)
            elif node.op_type != "Constant" and not self._is_fused(node):
                self._compute(node)
        inputs = tuple(self._read_input(name) for name in self.view.inputs)
        outputs = tuple(self._read_output(name) for name in self.view.outputs)
        return QuantNetwork(inputs=inputs, outputs=outputs, nodes=tuple(self.nodes))

    def _graph_names(self) -> dict[str, str]:
        """Map float tensors to the graph outputs that hold their quantized values."""
        names = {}
        for output in self.view.outputs:
            dequantize = self.view.producer(output)
            quantize = self.view.producer(dequantize.input[0]) if dequantize is not None else None
            if quantize is not None and quantize.op_type == "QuantizeLinear":
                names[quantize.input[0]] = output
        return names

    def _read_input(self, name: str) -> Activation:
        if name not in self.made:
            raise LoweringError(
                f"The graph's input {name!r} isn't quantized",
                expected="a QuantizeLinear as its only reader",
                fix=_FIX,
            )
        return self.made[name]

    def _read_output(self, name: str) -> Activation:
        if name not in self.dequantized:
            raise LoweringError(
                f"The graph's output {name!r} isn't quantized",
                expected="a DequantizeLinear of an int8 tensor",
                found=self.view.origin(name),
                fix=_FIX,
            )
        return self.dequantized[name]

    def _is_fused(self, node: onnx.NodeProto) -> bool:
        """Tell whether the node is the activation function of the operator before it."""
        if node.op_type not in ACTIVATIONS or node.input[0] in self.dequantized:
            return False
        producer = self.view.producer(node.input[0])
        return producer is not None and self.view.only_consumer(node.input[0]) is node

    def _quantize(self, node: onnx.NodeProto) -> None:
        source, target = node.input[0], node.output[0]
        if self.view.is_constant(source):
            raise LoweringError(
                f"QuantizeLinear {node.name!r} quantizes the constant {source!r} at run time",
                expected="an int8 initializer followed by a DequantizeLinear",
                fix=_FIX,
            )
        params = self._qparams(node)
        if source in self.dequantized:
            self.quantized[target] = self._requantized(node, params)
            return
        if source in self.view.inputs:
            self.made.setdefault(
                source, self._activation(source, _input_layout(self.view.shape(source)), node)
            )
        made = self.made[source]
        if made.params != params:
            raise LoweringError(
                f"Tensor {source!r} is quantized twice with different qparams",
                expected=f"one Q/DQ pair a tensor, here scale {made.params.scale:g}, zero point "
                f"{made.params.zero_point}",
                found=f"scale {params.scale:g}, zero point {params.zero_point} in {node.name!r}",
                fix="Share one Q/DQ pair among all readers",
            )
        self.quantized[target] = made

    def _requantized(self, node: onnx.NodeProto, params: QuantParams) -> Activation:
        source = self.dequantized[node.input[0]]
        if source.params == params:
            return source
        output = replace(source, name=node.output[0], params=params)
        output = replace(output, name=self.graph_names.get(node.input[0], output.name))
        self.nodes.append(
            QuantNode(
                name=node.name or node.output[0],
                op_type=REQUANTIZE,
                inputs=(source,),
                output=output,
                attributes={},
            )
        )
        return output

    def _dequantize(self, node: onnx.NodeProto) -> None:
        source, target = node.input[0], node.output[0]
        if source in self.quantized:
            self.dequantized[target] = self.quantized[source]
            return
        if not self.view.is_constant(source):
            raise LoweringError(
                f"DequantizeLinear {node.name!r} reads {source!r}, {self.view.origin(source)}",
                expected="the output of a QuantizeLinear, or an integer initializer",
            )
        values = cast("NDArray[Any]", self.view.constant(source))
        scale = np.asarray(self.view.constant(node.input[1]), np.float32)
        has_zero_point = len(node.input) > 2 and node.input[2]
        self.constants[target] = Constant(
            name=source,
            values=values,
            scale=scale,
            zero_point=self.view.constant(node.input[2])
            if has_zero_point
            else np.zeros_like(scale),
            axis=int(cast(int, attribute(node, "axis", 1))),
        )

    def _compute(self, node: onnx.NodeProto) -> None:
        name = node.name or node.output[0]
        inputs = tuple(self._operand(node, source) for source in node.input)
        clamp, result = self._clamp(node, node.output[0])
        attributes = {entry.name: attribute(node, entry.name) for entry in node.attribute}
        output = self._activation(
            result, _output_layout(node, inputs), self._reader_of(result, name)
        )
        self.made[result] = output
        self.nodes.append(
            QuantNode(
                name=name,
                op_type=_op_type(node, inputs),
                inputs=inputs,
                output=output,
                attributes=attributes,
                clamp=clamp,
            )
        )

    def _operand(self, node: onnx.NodeProto, name: str) -> Activation | Constant | None:
        if not name:
            return None
        if name in self.dequantized:
            return self.dequantized[name]
        if name in self.constants:
            return self.constants[name]
        if self.view.is_constant(name):
            return Constant(name=name, values=cast("NDArray[Any]", self.view.constant(name)))
        raise LoweringError(
            f"{node.op_type} node {node.name!r} reads {name!r} in float: {self.view.origin(name)} "
            "reaches it without a Q/DQ pair",
            expected="every tensor between two ops to pass a QuantizeLinear and a DequantizeLinear",
            fix=_FIX,
        )

    def _clamp(self, node: onnx.NodeProto, result: str) -> tuple[Clamp | None, str]:
        """Find the activation function after a node, and the name of the tensor behind both."""
        follower = self.view.only_consumer(result)
        if node.op_type in ACTIVATIONS:
            low, high = clip_bounds(self.view, node)
            return Clamp(low=low, high=high), result
        if follower is None or follower.op_type not in ACTIVATIONS:
            return None, result
        low, high = clip_bounds(self.view, follower)
        return Clamp(low=low, high=high), follower.output[0]

    def _reader_of(self, tensor: str, node: str) -> onnx.NodeProto:
        """The QuantizeLinear after a tensor; refuses where anything else reads it."""
        readers = self.view.consumers(tensor)
        strangers = [f"{r.op_type} {r.name!r}" for r in readers if r.op_type != "QuantizeLinear"]
        if tensor in self.view.outputs:
            strangers.append("the graph's output")
        if strangers or not readers:
            raise LoweringError(
                f"The output {tensor!r} of node {node!r} isn't quantized: it goes to "
                f"{', '.join(strangers) or 'nothing'}",
                expected="a QuantizeLinear as its only reader",
                fix=_FIX,
            )
        return readers[0]

    def _activation(self, name: str, layout: Layout, quantize: onnx.NodeProto) -> Activation:
        return Activation(
            name=self.graph_names.get(name, name),
            shape=self.view.shape(name),
            layout=layout,
            params=self._qparams(quantize),
        )

    def _qparams(self, node: onnx.NodeProto) -> QuantParams:
        """Read scale and zero point of a QuantizeLinear on an activation."""
        zero_point = self.view.constant(node.input[2]) if len(node.input) > 2 else None
        scale = np.asarray(self.view.constant(node.input[1]), np.float32)
        if zero_point is None or zero_point.dtype != np.int8 or scale.size != 1:
            found = "uint8" if zero_point is None else str(zero_point.dtype)
            raise LoweringError(
                f"QuantizeLinear {node.name!r} doesn't make an int8 tensor with one scale",
                expected="int8 and a scalar scale for activations",
                found=f"{found} and {scale.size} scales",
                fix=_FIX,
            )
        if not (np.isfinite(scale).all() and scale.item() > 0):
            raise LoweringError(
                f"The scale of QuantizeLinear {node.name!r} isn't positive", found=str(scale.item())
            )
        return QuantParams(scale=float(scale.item()), zero_point=int(zero_point.item()))


def _op_type(node: onnx.NodeProto, inputs: tuple[Activation | Constant | None, ...]) -> str:
    """Return ONNX's operator type, with a type of its own for depthwise convolutions."""
    group = int(cast(int, attribute(node, "group", 1)))
    image = inputs[0]
    if node.op_type == "Conv" and isinstance(image, Activation) and group == image.shape[1] > 1:
        return DEPTHWISE
    return node.op_type


def _input_layout(shape: tuple[int, ...]) -> Layout:
    return "NCHW" if len(shape) == 4 else "plain"


def _output_layout(
    node: onnx.NodeProto, inputs: tuple[Activation | Constant | None, ...]
) -> Layout:
    """Derive the layout of an operator's output from the layout of its first activation."""
    source = next((value for value in inputs if isinstance(value, Activation)), None)
    layout: Layout = source.layout if source is not None else "plain"
    if node.op_type in ("Reshape", "Flatten"):
        return "plain"
    if node.op_type == "Transpose":
        perm = list(cast("list[int]", attribute(node, "perm", [])))
        return "NCHW" if layout == "plain" and perm == TO_NCHW else "plain"
    return layout
