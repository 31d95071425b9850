"""Rules of TensorRT's explicit quantization, each with the way to keep it.

"Q/DQ Layer-Placement Recommendations",
https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/quantized-types-explicit-quantization.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import onnx

from edgessd.core.arrays import FloatArray
from edgessd.graph.dataflow import ACTIVATIONS, FUSING, MOVES, clip_bounds
from edgessd.graph.view import GraphView, attribute
from edgessd.lower.tensorrt.relu import saturates
from edgessd.quantize.qparams import INT8_MAX

OPSETS = {np.dtype(np.float32): (13, 17), np.dtype(np.float16): (19, 24)}
"""First and last opset by the type of the scales: 13 has per-channel parameters, and TensorRT 8.5 reads up to
17; 19 has float16 scales, and TensorRT 11 reads up to 24."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """A node because of which TensorRT would refuse the graph or run a part of it in float.

    Attributes:
        rule: Short name of the rule.
        node: Name of the node to change; empty for the graph as a whole.
        message: Sentence about the finding.
        fix: Sentence with the way out.
    """

    rule: str
    node: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"[{self.rule}] {f'{self.node}: ' if self.node else ''}{self.message} {self.fix}"


@dataclass(frozen=True, slots=True)
class LintedGraph:
    """Graph that the rules check.

    Attributes:
        model: Checked model.
        view: View of its nodes and constants.
        kept_float: Name patterns of tensors that the recipe keeps float.
    """

    model: onnx.ModelProto
    view: GraphView
    kept_float: tuple[str, ...]

    def nodes(self, *op_types: str) -> Iterator[onnx.NodeProto]:
        return (node for node in self.model.graph.node if node.op_type in op_types)

    def producer(self, name: str, *op_types: str) -> onnx.NodeProto | None:
        node = self.view.producer(name)
        return node if node is not None and node.op_type in op_types else None

    def quantizer_before(self, name: str) -> onnx.NodeProto | None:
        """Return the QuantizeLinear before the DequantizeLinear that writes a tensor."""
        dequantizer = self.producer(name, "DequantizeLinear")
        return dequantizer and self.producer(dequantizer.input[0], "QuantizeLinear")

    def is_of_activation(self, node: onnx.NodeProto) -> bool:
        """Tell whether a Q or DQ node has an activation as its input, and no parameter of a convolution."""
        return not self.view.is_constant(node.input[0]) and not any(
            reader.op_type == "Conv" and node.output[0] in reader.input[1:]
            for reader in self.view.consumers(node.output[0])
        )

    def scale(self, node: onnx.NodeProto) -> FloatArray:
        """Return the scales of a Q or DQ node; empty if they are computed at run time."""
        if not self.view.is_constant(node.input[1]):
            return np.zeros(0, np.float32)
        scale: FloatArray = self.view.constant(node.input[1]).astype(np.float32)
        return scale

    def stays_float(self, name: str) -> bool:
        """Tell whether the recipe keeps a tensor float."""
        return any(fnmatchcase(name, pattern) for pattern in self.kept_float)


def _opset(graph: LintedGraph) -> Iterator[Violation]:
    version = next((entry.version for entry in graph.model.opset_import if not entry.domain), 0)
    types = {
        graph.view.constant(node.input[1]).dtype
        for node in graph.nodes("QuantizeLinear", "DequantizeLinear")
        if graph.view.is_constant(node.input[1])
    }
    wide, half = OPSETS
    lowest, highest = OPSETS[half if half in types else wide]
    if types and not lowest <= version <= highest:
        yield Violation(
            rule="opset",
            node="",
            message=f"Opset {version} with scales of {' and '.join(sorted(map(str, types)))}.",
            fix=f"Use {lowest} to {highest}.",
        )


def _activation_parameters(graph: LintedGraph) -> Iterator[Violation]:
    for node in graph.nodes("QuantizeLinear", "DequantizeLinear"):
        if not graph.is_of_activation(node):
            continue
        yield from _zero_point(graph, node)
        size = graph.scale(node).size
        if size == 0:
            yield Violation(
                rule="constant-scale",
                node=node.name,
                message="Its scale is computed at run time.",
                fix="Store it as an initializer.",
            )
        elif size > 1:
            yield Violation(
                rule="per-tensor",
                node=node.name,
                message=f"An activation with {size} scales.",
                fix="Give it one; per-channel scales are for weights.",
            )


def _zero_point(graph: LintedGraph, node: onnx.NodeProto) -> Iterator[Violation]:
    if len(node.input) < 3 or not node.input[2]:
        if node.op_type == "DequantizeLinear":
            return  # 0 in the type of its integers
        yield Violation(
            rule="int8",
            node=node.name,
            message="No zero point, which means uint8.",
            fix="Give it an int8 zero point of 0.",
        )
        return
    zero_point = graph.view.constant(node.input[2])
    if zero_point.dtype != np.int8:
        yield Violation(
            rule="int8",
            node=node.name,
            message=f"The integers are {zero_point.dtype}.",
            fix="Quantize to int8; TensorRT reads no other 8-bit integers here.",
        )
    elif zero_point.any():
        yield Violation(
            rule="zero-point",
            node=node.name,
            message=f"Zero point {int(zero_point.flat[np.flatnonzero(zero_point)[0]])}.",
            fix="Use the symmetric scheme, whose zero points are 0.",
        )


def _convolutions(graph: LintedGraph) -> Iterator[Violation]:
    for conv in graph.nodes("Conv"):
        weight = graph.producer(conv.input[1], "DequantizeLinear")
        source = graph.producer(conv.input[0], "DequantizeLinear")
        if weight is not None:
            yield from _weight(graph, conv, weight)
        if weight is not None and source is None:
            yield Violation(
                rule="conv-input",
                node=conv.name,
                message=f"Its weight is quantized and its input {conv.input[0]} isn't.",
                fix="Quantize the input, or leave the weight float as well.",
            )
        # An image enters as integers even where the first layer is kept float.
        enters = source is not None and source.input[0] in graph.view.inputs
        if weight is None and source is not None and not enters:
            yield Violation(
                rule="conv-weight",
                node=conv.name,
                message="Its input is quantized and its weight isn't, so it runs in float.",
                fix="Store the weight as int8 behind a DequantizeLinear.",
            )
        if weight is None and source is None and not graph.stays_float(conv.input[0]):
            yield Violation(
                rule="conv-float",
                node=conv.name,
                message="Neither input nor weight is quantized.",
                fix="Quantize both, or name the input under keep_float in the recipe.",
            )
        if len(conv.input) > 2 and graph.producer(conv.input[2], "DequantizeLinear"):
            yield Violation(
                rule="float-bias",
                node=conv.name,
                message="Its bias is quantized; the parser refuses DequantizeLinear on int32.",
                fix="Store the bias as float; TensorRT converts it.",
            )


def _weight(graph: LintedGraph, conv: onnx.NodeProto, node: onnx.NodeProto) -> Iterator[Violation]:
    if not graph.view.is_constant(node.input[0]):
        yield Violation(
            rule="weight-constant",
            node=node.name,
            message=f"The weight of {conv.name} is computed at run time.",
            fix="Store it as an int8 initializer.",
        )
        return
    weight, scale = graph.view.constant(node.input[0]), graph.scale(node)
    if weight.dtype != np.int8:
        yield Violation(
            rule="int8",
            node=node.name,
            message=f"The weight of {conv.name} is stored as {weight.dtype}.",
            fix="Store it as int8.",
        )
        return
    axis = attribute(node, "axis", 1)
    if scale.shape != weight.shape[:1] or axis != 0:
        yield Violation(
            rule="per-channel",
            node=node.name,
            message=f"The weight {weight.shape} of {conv.name} has scales {scale.shape} along axis "
            f"{axis}.",
            fix=f"Use one scale for each of the {weight.shape[0]} output channels, along axis 0.",
        )
    yield from _zero_point(graph, node)


def _split_activations(graph: LintedGraph) -> Iterator[Violation]:
    for node in graph.nodes(*ACTIVATIONS):
        quantizer = graph.quantizer_before(node.input[0])
        if quantizer is None:
            continue
        made = graph.producer(quantizer.input[0], *FUSING)
        if made is not None:
            yield Violation(
                rule="split-activation",
                node=quantizer.name,
                message=f"It keeps the activation {node.name} from being fused with {made.name}.",
                fix=f"Move the pair behind {node.name}.",
            )


def _residual_adds(graph: LintedGraph) -> Iterator[Violation]:
    for add in graph.nodes("Add"):
        if any(graph.view.is_constant(name) for name in add.input):
            continue
        branches = [name for name in add.input if graph.producer(name, "Conv")]
        quantized = [name for name in add.input if graph.producer(name, "DequantizeLinear")]
        if not branches and not quantized:
            continue
        if branches and not quantized:
            # If both are convolutions, the first counts as the skip input, as in `annotate`.
            skip = next((name for name in add.input if name not in branches), branches[0])
            if not graph.stays_float(skip):
                yield Violation(
                    rule="skip-input",
                    node=add.name,
                    message=f"Its skip input {skip} isn't quantized, so the sum runs in float.",
                    fix=f"Put a Q/DQ pair on {skip}.",
                )
        elif len(quantized) == 2:
            yield from _quantized_branch(graph, add)


def _quantized_branch(graph: LintedGraph, add: onnx.NodeProto) -> Iterator[Violation]:
    """Find the convolution branch of an Add that is rounded before the sum."""
    for name in reversed(add.input):
        quantizer = graph.quantizer_before(name)
        if quantizer is None:
            continue
        conv = graph.producer(quantizer.input[0], "Conv")
        chain = (quantizer.input[0], quantizer.output[0], name)
        if conv is not None and all(graph.view.only_consumer(link) for link in chain):
            yield Violation(
                rule="residual-branch",
                node=quantizer.name,
                message=f"It keeps {conv.name} from being fused with {add.name}.",
                fix=f"Remove the pair, and let {add.name} read {conv.name} and the quantized skip "
                "input.",
            )
            return


def _concats(graph: LintedGraph) -> Iterator[Violation]:
    for concat in graph.nodes("Concat"):
        sides = {name: graph.producer(name, "DequantizeLinear") for name in concat.input}
        readers = graph.view.consumers(concat.output[0])
        for reader in readers:
            if reader.op_type == "QuantizeLinear":
                sides[concat.output[0]] = reader
        scales = {name: graph.scale(node) for name, node in sides.items() if node is not None}
        if not scales:
            continue
        bare = [n for n, node in sides.items() if node is None and not graph.stays_float(n)]
        different = len({scale.tobytes() for scale in scales.values()}) > 1
        if bare or different:
            found = [f"{name} {scale.flat[0]:g}" for name, scale in scales.items() if scale.size]
            yield Violation(
                rule="concat-scale",
                node=concat.name,
                message="Its inputs and output don't share one scale: "
                + ", ".join(found + [f"{name} none" for name in bare])
                + ".",
                fix="Merge their ranges and give all of them the same scale.",
            )


def _clips(graph: LintedGraph) -> Iterator[Violation]:
    for clip in graph.nodes("Clip"):
        low, high = clip_bounds(graph.view, clip)
        for quantizer in graph.view.consumers(clip.output[0]):
            if quantizer.op_type != "QuantizeLinear" or low != 0:
                continue
            scale = graph.scale(quantizer)
            if scale.size == 1 and not saturates(high, float(scale.flat[0])):
                yield Violation(
                    rule="clip",
                    node=clip.name,
                    message=f"It can't become a Relu: with a scale of {float(scale.flat[0]):g} the "
                    f"integers end at {INT8_MAX * float(scale.flat[0]):g}, beyond its {high:g}.",
                    fix=f"Use a scale of at most {high / INT8_MAX:g}.",
                )


def _pairs(graph: LintedGraph) -> Iterator[Violation]:
    for node in graph.nodes("QuantizeLinear"):
        name = node.output[0]
        strangers = [n for n in graph.view.consumers(name) if n.op_type != "DequantizeLinear"]
        nobody = not graph.view.consumers(name) and name not in graph.view.outputs
        if strangers or nobody:
            reader = f"{strangers[0].op_type} {strangers[0].name}" if strangers else "nothing"
            yield Violation(
                rule="dangling",
                node=node.name,
                message=f"Its integers are read by {reader}.",
                fix="Put a DequantizeLinear behind it.",
            )
        for reader_node in graph.view.consumers(name):
            if reader_node.op_type == "DequantizeLinear" and not np.array_equal(
                graph.scale(node), graph.scale(reader_node)
            ):
                yield Violation(
                    rule="pair-scale",
                    node=reader_node.name,
                    message=f"It has another scale than {node.name}.",
                    fix="Give both the same.",
                )
    for node in graph.nodes("DequantizeLinear"):
        source = node.input[0]
        made = graph.producer(source, "QuantizeLinear") is not None
        if not made and source not in graph.view.inputs and graph.is_of_activation(node):
            yield Violation(
                rule="dangling",
                node=node.name,
                message=f"Its integers come from {graph.view.origin(source)}.",
                fix="Put a QuantizeLinear before it.",
            )


def _duplicates(graph: LintedGraph) -> Iterator[Violation]:
    first: dict[str, onnx.NodeProto] = {}
    for node in graph.nodes("QuantizeLinear"):
        other = first.setdefault(node.input[0], node)
        if not np.array_equal(graph.scale(node), graph.scale(other)):
            yield Violation(
                rule="unequal-pairs",
                node=node.name,
                message=f"{node.input[0]} is quantized here and by {other.name} with unequal scales.",
                fix="Let all its consumers share one pair.",
            )


def _moves(graph: LintedGraph) -> Iterator[Violation]:
    for node in graph.nodes(*MOVES):
        before = graph.producer(node.input[0], "DequantizeLinear")
        for after in graph.view.consumers(node.output[0]):
            if before is None or after.op_type != "QuantizeLinear":
                continue
            if not np.array_equal(graph.scale(before), graph.scale(after)):
                yield Violation(
                    rule="move-scale",
                    node=after.name,
                    message=f"{node.op_type} {node.name} only moves values, yet its output has another "
                    "scale than its input.",
                    fix="Give both the same.",
                )


RULES: tuple[Callable[[LintedGraph], Iterator[Violation]], ...] = (
    _opset,
    _activation_parameters,
    _convolutions,
    _split_activations,
    _residual_adds,
    _concats,
    _clips,
    _pairs,
    _duplicates,
    _moves,
)
