"""Add → ADD."""

from __future__ import annotations

from edgessd.lower.tflite.activation_functions import fused_activation
from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import QuantNode

# XNNPACK's limits on input scale / output scale of an addition.
MIN_RATIO, MAX_RATIO = 2.0**-10, 2.0**8


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """The sum of two activations of one shape (a residual connection)."""
    first, second = node.activation(0), node.activation(1)
    if first.shape != second.shape or first.layout != second.layout:
        node.refuse(
            f"its inputs are {first.shape} ({first.layout}) and {second.shape} ({second.layout})",
            expected="equal shapes: broadcasting isn't lowered",
        )
    for value in (first, second):
        ratio = value.scale / node.output.scale
        if not MIN_RATIO <= ratio < MAX_RATIO:
            node.refuse(
                f"the scale of {value.name!r} is {ratio:g} times its output's",
                expected=f"{MIN_RATIO:g} to {MAX_RATIO:g}, the limits of LiteRT's kernels",
            )
    inputs = [builder.activation(first), builder.activation(second)]
    options = {"fusedActivationFunction": fused_activation(node)}
    builder.operator("ADD", 2, inputs, [builder.activation(node.output)], ("AddOptions", options))
