"""Lower Reshape and Flatten to RESHAPE."""

from __future__ import annotations

import numpy as np

from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import QuantNode


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Lower a change of dimensions over the same memory."""
    source = node.activation()
    node.require_same_qparams(source)
    if node.clamp is not None:
        node.refuse("an activation function follows it, which RESHAPE can't fuse")
    if source.layout == "NCHW" and source.shape[2:] != (1, 1):
        node.refuse(
            f"{source.name!r} of shape {source.shape} lies in memory as NHWC, so reshaping it would "
            "need a transposition",
            expected="a Transpose to NHWC, perm [0, 2, 3, 1], before the Reshape",
        )
    if source.physical_shape == node.output.physical_shape:
        builder.alias(node.output, source)
        return
    shape = np.asarray(node.output.physical_shape, np.int32)
    inputs = [builder.activation(source), builder.constant(f"{node.name}/shape", shape)]
    output = builder.activation(node.output)
    builder.operator("RESHAPE", 1, inputs, [output], ("ReshapeOptions", {"newShape": shape}))
