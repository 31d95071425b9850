"""Lower Concat to CONCATENATION."""

from __future__ import annotations

from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import QuantNode


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Lower the concatenation of activations with one scale and zero point."""
    values = node.activations()
    if len(values) != len(node.inputs):
        node.refuse("one of its inputs is constant", expected="activations only")
    if node.clamp is not None:
        node.refuse("an activation function follows it, which CONCATENATION can't fuse")
    for value in values:
        node.require_same_qparams(value)
        if value.layout != values[0].layout:
            node.refuse(f"{value.name!r} lies in memory differently from {values[0].name!r}")
    axis = node.output.physical_axis(int(node.attributes["axis"]))
    builder.operator(
        "CONCATENATION",
        2,
        [builder.activation(value) for value in values],
        [builder.activation(node.output)],
        ("ConcatenationOptions", {"axis": axis, "fusedActivationFunction": "NONE"}),
    )
