"""Check that a Q/DQ graph is one that TensorRT runs in integers.

TensorRT fuses an operation with the DequantizeLinear before and the QuantizeLinear behind it if they stand
in the places that its guide names (see `qdq_rules`). Otherwise it refuses the graph, or builds it and runs
the layer in float without an error. A rule that only costs speed on small layers gives `Advice`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx

from edgessd.graph.view import GraphView, attribute
from edgessd.lower.tensorrt.qdq_rules import RULES, LintedGraph, Violation

FEWEST_CHANNELS = 16
"""With fewer channels, an INT8 convolution pads them and is no faster than in FP16."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """A node that works and could be faster."""

    node: str
    message: str

    def __str__(self) -> str:
        return f"{self.node}: {self.message}"


def lint_qdq(model: onnx.ModelProto, *, kept_float: Iterable[str] = ()) -> tuple[Violation, ...]:
    """Find every violation in a Q/DQ graph, with float or integer tensors at its boundary.

    Args:
        model: Graph from `quantize` or from the TensorRT lowering.
        kept_float: Name patterns of tensors that the recipe keeps float.
    """
    graph = LintedGraph(model, GraphView(model), tuple(kept_float))
    return tuple(violation for rule in RULES for violation in rule(graph))


def advise_on_qdq(model: onnx.ModelProto) -> tuple[Advice, ...]:
    """Find quantized convolutions that have too few channels to be faster than in FP16."""
    graph = LintedGraph(model, GraphView(model), ())
    found = []
    for conv in graph.nodes("Conv"):
        dequantizer = graph.producer(conv.input[1], "DequantizeLinear")
        if dequantizer is None:
            continue
        outputs, inputs = graph.view.constant(dequantizer.input[0]).shape[:2]
        groups = attribute(conv, "group", 1)
        assert isinstance(groups, int)
        if min(outputs, inputs * groups) < FEWEST_CHANNELS:
            found.append(
                Advice(
                    node=conv.name,
                    message=f"{inputs * groups} channels in and {outputs} out; INT8 needs at least "
                    f"{FEWEST_CHANNELS} of each.",
                )
            )
    return tuple(found)
