"""Lower the pairing of pixels that `column_pairs` adds to RESHAPE."""

from __future__ import annotations

import numpy as np

from edgessd.lower.tflite.flatbuffer import ModelBuilder
from edgessd.lower.tflite.ir import QuantNode


def lower(node: QuantNode, builder: ModelBuilder) -> None:
    """Reshape (1, H, W, c) to (1, H, W / 2, 2 c)."""
    shape = np.asarray(node.output.physical_shape, np.int32)
    inputs = [builder.activation(node.image()), builder.constant(f"{node.name}/shape", shape)]
    outputs = [builder.activation(node.output)]
    builder.operator("RESHAPE", 1, inputs, outputs, ("ReshapeOptions", {"newShape": shape}))
