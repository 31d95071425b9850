"""Lower AveragePool and GlobalAveragePool to AVERAGE_POOL_2D, with a QUANTIZE if the scale changes."""

from __future__ import annotations

from dataclasses import replace

from edgessd.lower.tflite.activation_functions import fused_activation
from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import QuantNode
from edgessd.lower.tflite.ops.pad import padded_image
from edgessd.lower.tflite.ops.quantize import add_quantize
from edgessd.lower.tflite.windows import read_window


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Lower the mean of each window. The kernel keeps its input's scale and zero point."""
    image = node.image()
    if node.op_type == "GlobalAveragePool":
        node = replace(node, attributes={"kernel_shape": image.shape[2:]})
    window = read_window(node, node.attributes["kernel_shape"])
    if window.dilations != (1, 1):
        node.refuse(f"its dilations are {window.dilations}", expected="no dilation")
    counts_padding = bool(node.attributes.get("count_include_pad", 0))
    if counts_padding and window.padding == "SAME":
        node.refuse(
            "TFLite's SAME padding never counts in the mean", expected="count_include_pad=0"
        )
    if window.pads is not None and not counts_padding:
        node.refuse(
            "its padding isn't TensorFlow's SAME and doesn't count in the mean",
            expected="SAME padding, none, or count_include_pad=1",
        )
    pooled = replace(node.output, params=image.params)
    direct = image.same_qparams(node.output)
    if not direct:
        pooled = replace(pooled, name=f"{node.name}/pooled")
    options = {
        "padding": window.padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "filterHeight": window.kernel[0],
        "filterWidth": window.kernel[1],
        "fusedActivationFunction": fused_activation(replace(node, output=pooled)),
    }
    source = padded_image(node, builder, window.pads)
    output = builder.activation(pooled)
    builder.operator("AVERAGE_POOL_2D", 2, [source], [output], ("Pool2DOptions", options))
    if not direct:
        add_quantize(node, builder, pooled)
