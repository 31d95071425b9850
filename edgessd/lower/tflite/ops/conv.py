"""Lower Conv to CONV_2D."""

from __future__ import annotations

from edgessd.lower.tflite.activation_functions import fused_activation
from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import QuantNode
from edgessd.lower.tflite.ops.pad import padded_image
from edgessd.lower.tflite.weights import read_conv_constants
from edgessd.lower.tflite.windows import read_window


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Lower a convolution of one group with per-channel weights, bias and fused activation."""
    groups = node.attributes.get("group", 1)
    if groups != 1:
        node.refuse(
            f"it has {groups} groups for {node.image().shape[1]} channels",
            expected="one group, or as many groups as input channels (depthwise)",
        )
    constants = read_conv_constants(node)
    window = read_window(node, constants.values.shape[2:])
    image = padded_image(node, builder, window.pads)
    # (out, in, height, width) to (out, height, width, in)
    weights = builder.constant(
        f"{node.name}/weights", constants.values.transpose(0, 2, 3, 1), scales=constants.scales
    )
    bias = builder.constant(f"{node.name}/bias", constants.bias, scales=constants.bias_scales)
    options = {
        "padding": window.padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "dilationHFactor": window.dilations[0],
        "dilationWFactor": window.dilations[1],
        "fusedActivationFunction": fused_activation(node),
    }
    output = builder.activation(node.output)
    builder.operator("CONV_2D", 3, [image, weights, bias], [output], ("Conv2DOptions", options))
