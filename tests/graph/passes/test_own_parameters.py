"""Every Conv gets parameters of its own."""

from __future__ import annotations

import numpy as np
from onnx_text import model_from

from edgessd.graph.passes.own_parameters import own_parameters
from edgessd.graph.verify import checked
from edgessd.graph.view import GraphView


def test_convs_stop_sharing_parameters() -> None:
    model = model_from(
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
