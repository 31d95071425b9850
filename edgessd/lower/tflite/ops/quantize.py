"""Lower a second Q/DQ pair on one tensor to QUANTIZE."""

from __future__ import annotations

from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import Activation, QuantNode

# Measured on LiteRT 2.3: correct up to 2**18 at least, wrong in every value at 2**24.
MAX_RATIO = 2.0**18


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Lower the conversion from one scale and zero point to another."""
    add_quantize(node, builder, node.activation())


def add_quantize(node: QuantNode, builder: ModelBuilder, source: Activation) -> None:
    """Add QUANTIZE from `source` to the node's output."""
    refuse_coarser(node, source)
    inputs, outputs = [builder.activation(source)], [builder.activation(node.output)]
    builder.operator("QUANTIZE", 1, inputs, outputs, ("QuantizeOptions", {}))


def refuse_coarser(node: QuantNode, source: Activation) -> None:
    """Refuse an input scale that is too large a multiple of the output scale for the kernels."""
    ratio = source.params.scale / node.output.params.scale
    if ratio > MAX_RATIO:
        node.refuse(
            f"the scale of {source.name!r} is {ratio:g} times its output's",
            expected=f"at most {MAX_RATIO:g}, or LiteRT's kernel overflows",
        )
