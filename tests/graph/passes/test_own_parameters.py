"""Every Conv gets parameters of its own."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, parser

from edgessd.graph.passes.own_parameters import own_parameters
from edgessd.graph.verify import checked
from edgessd.graph.view import GraphView

_HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'


def _model(text: str, **initializers: np.ndarray) -> onnx.ModelProto:
    model = parser.parse_model(_HEADER + text)
    for name, value in initializers.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return checked(model, after="the test")


def test_convs_stop_sharing_parameters() -> None:
    model = _model(
        """
        g (float[1,2,4,4] image) => (float[1,2,4,4] y) {
          [first] x = Conv<kernel_shape = [1, 1]>(image, w, b)
          [second] y = Conv<kernel_shape = [1, 1]>(x, w)
        }
        """,
        w=np.full((2, 2, 1, 1), 0.5, np.float32),
        b=np.array([1, 2], np.float32),
    )
    owned = checked(own_parameters(model), after="own_parameters")
    assert [list(node.input[1:]) for node in owned.graph.node] == [
        ["first.weight", "first.bias"],
        ["second.weight", "second.bias"],
    ]
    assert GraphView(owned).constant("second.bias").tolist() == [0, 0]
    assert len(owned.graph.initializer) == 4
