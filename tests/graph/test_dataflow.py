"""Only tensors that an engine writes are materialized."""

from __future__ import annotations

import numpy as np
from onnx_text import model_from

from edgessd.graph.dataflow import materialized_tensors, observed_tensors


def test_only_tensors_that_an_engine_writes_are_materialized() -> None:
    model = model_from(
        """
        g (float[1,2,4,4] image) => (float[1,32,2] y) {
          [c] c = Conv<kernel_shape = [1, 1]>(image, w)
          [r] r = Relu(c)
          [d] d = Conv<kernel_shape = [1, 1]>(r, w)
          [t] t = Transpose<perm = [0, 2, 3, 1]>(d)
          [s] s = Reshape(t, shape)
          [s2] s2 = Reshape(t, shape)
          [y] y = Concat<axis = 1>(s, s2)
        }
        """,
        w=np.ones((2, 2, 1, 1), np.float32),
        shape=np.array([1, 16, 2], np.int64),
    )
    # c is fused into r; t, s and s2 are d's values at other places.
    assert materialized_tensors(model) == ["image", "r", "d", "t", "s", "s2", "y"]
    assert observed_tensors(model) == ["image", "r", "d", "y"]
