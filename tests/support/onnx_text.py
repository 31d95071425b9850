"""Graphs in the text form of ONNX."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, parser

from edgessd.graph.verify import checked

_HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'


def model_from(text: str, **initializers: np.ndarray) -> onnx.ModelProto:
    """Read a graph and give it initializers; the model is checked."""
    model = parser.parse_model(_HEADER + text)
    for name, value in initializers.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return checked(model, after="the test")
