"""A second Q/DQ pair on one tensor → QUANTIZE."""

from __future__ import annotations

from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import Activation, QuantNode

# XNNPACK's limits on input scale / output scale of a conversion.
MIN_RATIO, MAX_RATIO = 2.0**-8, 2.0**7


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """From one scale and zero point to another."""
    add_quantize(node, builder, node.activation())


def add_quantize(node: QuantNode, builder: ModelBuilder, source: Activation) -> None:
    """Add QUANTIZE from `source` to the node's output."""
    ratio = source.scale / node.output.scale
    if not MIN_RATIO <= ratio <= MAX_RATIO:
        node.refuse(
            f"the scale of {source.name!r} is {ratio:g} times its output's",
            expected=f"{MIN_RATIO:g} to {MAX_RATIO:g}, the limits of LiteRT's kernels",
        )
    inputs, outputs = [builder.activation(source)], [builder.activation(node.output)]
    builder.operator("QUANTIZE", 1, inputs, outputs, ("QuantizeOptions", {}))
