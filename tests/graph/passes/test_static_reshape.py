"""Reshapes with their shape written out."""

from __future__ import annotations

import numpy as np
from onnx_text import model_from

from edgessd.graph.passes.static_reshape import static_reshape
from edgessd.graph.view import GraphView


def test_an_inferred_side_is_written_out() -> None:
    model = model_from(
        """
        g (float[1,2,4,3] image) => (float[1,8,3] y) {
          [flat] y = Reshape(image, s)
        }
        """,
        s=np.array([1, -1, 3], np.int64),
    )
    found = static_reshape(model)
    assert GraphView(found).constant(found.graph.node[0].input[1]).tolist() == [1, 8, 3]
    assert {tensor.name for tensor in found.graph.initializer} >= {"flat.shape"}
    assert model.graph.node[0].input[1] == "s"
