"""Lower Add to ADD."""

from __future__ import annotations

from edgessd.lower.tflite.activation_functions import fused_activation
from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import QuantNode

# Measured on LiteRT 2.3: from 256 on XNNPACK's sums are wrong without an error, and from 2**19 on the
# kernel aborts the process ("Check failed: double_multiplier < 1").
MAX_RATIO = 2.0**8


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Lower the sum of two activations of one shape (a residual connection)."""
    first, second = node.activation(0), node.activation(1)
    if first.shape != second.shape or first.layout != second.layout:
        node.refuse(
            f"its inputs are {first.shape} ({first.layout}) and {second.shape} ({second.layout})",
            expected="equal shapes: broadcasting isn't lowered",
        )
    for value in (first, second):
        ratio = value.params.scale / node.output.params.scale
        if ratio >= MAX_RATIO:
            node.refuse(
                f"the scale of {value.name!r} is {ratio:g} times its output's",
                expected=f"less than {MAX_RATIO:g}, or LiteRT's kernel overflows",
            )
    inputs = [builder.activation(first), builder.activation(second)]
    options = {"fusedActivationFunction": fused_activation(node)}
    builder.operator("ADD", 2, inputs, [builder.activation(node.output)], ("AddOptions", options))
