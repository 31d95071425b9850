"""Lower a Conv with as many groups as input channels to DEPTHWISE_CONV_2D."""

from __future__ import annotations

from edgessd.lower.tflite.activation_functions import fused_activation
from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import QuantNode
from edgessd.lower.tflite.ops.pad import padded_image
from edgessd.lower.tflite.weights import read_conv_constants
from edgessd.lower.tflite.windows import read_window


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Lower a depthwise convolution; output channel c * multiplier + m reads input channel c."""
    constants = read_conv_constants(node)
    window = read_window(node, constants.values.shape[2:])
    if window.strides[0] != window.strides[1]:
        node.refuse(f"its strides are {window.strides}", expected="equal strides when depthwise")
    image = padded_image(node, builder, window.pads)
    # (out, 1, height, width) to (1, height, width, out)
    weights = builder.constant(
        f"{node.name}/weights",
        constants.values.transpose(1, 2, 3, 0),
        scales=constants.scales,
        axis=3,
    )
    bias = builder.constant(f"{node.name}/bias", constants.bias, scales=constants.bias_scales)
    options = {
        "padding": window.padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "depthMultiplier": len(constants.values) // node.image().shape[1],
        "dilationHFactor": window.dilations[0],
        "dilationWFactor": window.dilations[1],
        "fusedActivationFunction": fused_activation(node),
    }
    output = builder.activation(node.output)
    builder.operator(
        "DEPTHWISE_CONV_2D",
        3,
        [image, weights, bias],
        [output],
        ("DepthwiseConv2DOptions", options),
    )
