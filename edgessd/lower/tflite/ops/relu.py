"""Lower a Relu or Clip(0, 6) that can't be fused, since others read its input, to RELU or RELU6."""

from __future__ import annotations

from edgessd.lower.tflite.activation_functions import fused_activation
from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import QuantNode
from edgessd.lower.tflite.ops.quantize import add_quantize, refuse_coarser


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Lower a clamp between two activations, each with its own scale and zero point."""
    name = fused_activation(node)
    if name == "NONE":
        # The output's range ends where the clamp does, so converting to it is enough.
        add_quantize(node, builder, node.activation())
        return
    if name == "RELU_N1_TO_1":
        node.refuse("TFLite has no int8 kernel for a clamp from -1 to 1 on its own")
    refuse_coarser(node, node.activation())
    source, output = builder.activation(node.activation()), builder.activation(node.output)
    builder.operator(name, 2, [source], [output])
