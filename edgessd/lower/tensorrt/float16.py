"""Convert a graph to float16, for the strongly typed networks of TensorRT.

TensorRT 11 and TensorRT-RTX compile strongly typed networks only: a layer runs in FP16 exactly if its
tensors are float16. So scales, biases, float weights and the tensors between them become float16. Decoding
keeps float32: near 300 pixels, neighboring float16 numbers are a quarter of a pixel apart.

The scales and biases of the symmetric scheme are float16 numbers already (`quantize.qparams`), so both
forms of a quantized graph hold the same parameters.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgessd.core.arrays import AnyArray
from edgessd.core.errors import LoweringError
from edgessd.graph.view import GraphView, copy_of, replace_nodes, set_initializer
from edgessd.quantize.qparams import FLOAT16_MAX

OPSET = 19
"""First opset whose QuantizeLinear and DequantizeLinear take float16 scales."""

_SCALED = ("QuantizeLinear", "DequantizeLinear")


@dataclass
class _Float16Writer:
    """State of one conversion.

    Attributes:
        model: Model that is edited.
        view: View of the graph before the conversion.
        types: Element type of each float tensor written so far, by name.
        nodes: Nodes written so far, in order.
        constants: Names of the constants written so far.
    """

    model: onnx.ModelProto
    view: GraphView
    types: dict[str, int] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: set[str] = field(default_factory=set)

    def constant(self, name: str, wanted: int) -> str:
        """Provide a constant in a type; one that isn't float32 gets a name of its own."""
        if wanted == TensorProto.FLOAT:
            return name
        renamed = f"{name}.float16"
        if renamed not in self.constants:
            set_initializer(self.model, renamed, self.view.constant(name).astype(np.float16))
            self.constants.add(renamed)
        return renamed

    def tensor(self, name: str, wanted: int) -> str:
        """Provide a tensor in a type, through a Cast if it has the other."""
        if self.types[name] == wanted:
            return name
        cast = f"{name}.{'float16' if wanted == TensorProto.FLOAT16 else 'float32'}"
        if cast not in self.types:
            self.nodes.append(helper.make_node("Cast", [name], [cast], f"{cast}.cast", to=wanted))
            self.types[cast] = wanted
        return cast


def to_float16(model: onnx.ModelProto, *, float32_nodes: Collection[str] = ()) -> onnx.ModelProto:
    """Convert a graph to float16, with its float inputs and outputs.

    Args:
        model: Graph with float32 as its only float type and with inferred shapes.
        float32_nodes: Names of nodes that keep float32. Nodes with a constant beyond float16's range keep
            it too. A Cast is added between the two types.

    Raises:
        LoweringError: A scale isn't a float16 number, so rounding it would shift every integer.
    """
    view = GraphView(model)
    model = copy_of(model)
    floats = _float_tensors(model)
    writer = _Float16Writer(model, view)
    for value in model.graph.input:
        if value.name in floats:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
            writer.types[value.name] = TensorProto.FLOAT16
    for node in model.graph.node:
        keeps = node.name in float32_nodes or not _fits(view, node)
        wanted = TensorProto.FLOAT if keeps else TensorProto.FLOAT16
        for index, name in enumerate(node.input):
            if name in writer.types:
                node.input[index] = writer.tensor(name, wanted)
            elif view.is_constant(name) and view.constant(name).dtype == np.float32:
                node.input[index] = writer.constant(name, wanted)
        writer.types.update((name, wanted) for name in node.output if name in floats)
        writer.nodes.append(node)
    for value in model.graph.output:
        if value.name in floats:
            value.type.tensor_type.elem_type = writer.types[value.name]
    replace_nodes(model, writer.nodes)
    for entry in model.opset_import:
        if not entry.domain:
            entry.version = max(OPSET, entry.version)
    return model


def _float_tensors(model: onnx.ModelProto) -> frozenset[str]:
    """Collect the names of the float32 tensors that aren't constants."""
    graph = model.graph
    return frozenset(
        value.name
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    )


def _fits(view: GraphView, node: onnx.NodeProto) -> bool:
    """Tell whether every constant of a node is within float16's range."""
    if node.op_type in _SCALED:
        _require_float16(view, node)
        return True
    constants = (view.constant(name) for name in node.input if name and view.is_constant(name))
    return all(
        bool((np.abs(value) <= FLOAT16_MAX).all()) for value in constants if _is_float(value)
    )


def _require_float16(view: GraphView, node: onnx.NodeProto) -> None:
    scale = np.asarray(view.constant(node.input[1]), np.float32)
    with np.errstate(over="ignore"):
        rounded = scale.astype(np.float16).astype(np.float32)
    if not np.array_equal(rounded, scale):
        worst = float(np.abs(rounded / scale - 1).max())
        raise LoweringError(
            f"The scale of {node.name!r} isn't a float16 number",
            expected="scales as the symmetric scheme makes them",
            found=f"a change of {worst:.2%} by rounding it",
            fix="Quantize the graph again.",
        )


def _is_float(value: AnyArray) -> bool:
    return value.dtype == np.float32
