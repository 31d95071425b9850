"""Lower MaxPool to MAX_POOL_2D."""

from __future__ import annotations

from edgessd.lower.tflite.activation_functions import fused_activation
from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import INT8_MIN, QuantNode
from edgessd.lower.tflite.ops.pad import padded_image
from edgessd.lower.tflite.windows import read_window


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Lower the maximum of each window; padding must never be the maximum, so it is filled with -128."""
    node.require_same_qparams(node.image())
    window = read_window(node, node.attributes["kernel_shape"])
    if window.dilations != (1, 1):
        node.refuse(f"its dilations are {window.dilations}", expected="no dilation")
    image = padded_image(node, builder, window.pads, fill=INT8_MIN)
    options = {
        "padding": window.padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "filterHeight": window.kernel[0],
        "filterWidth": window.kernel[1],
        "fusedActivationFunction": fused_activation(node),
    }
    output = builder.activation(node.output)
    builder.operator("MAX_POOL_2D", 2, [image], [output], ("Pool2DOptions", options))
