"""A zero Pad becomes part of its Conv, and any other Pad stays."""

from __future__ import annotations

import numpy as np
import onnx
from onnx_text import model_from

from edgessd.graph.passes.fuse_pad import fuse_pad
from edgessd.graph.verify import checked, run_model
from edgessd.graph.view import attribute


def _padded(pads: list[int], value: float = 0.0) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    return model_from(
        """
        g (float[1,3,8,8] image) => (float[1,4,4,4] y) {
          padded = Pad(image, pads, value)
          y = Conv<kernel_shape = [3, 3], strides = [2, 2]>(padded, w)
        }
        """,
        pads=np.array(pads, np.int64),
        value=np.array(value, np.float32),
        w=random.normal(0, 1, (4, 3, 3, 3)).astype(np.float32),
    )


def test_asymmetric_pad_becomes_the_convs_own() -> None:
    # TensorFlow SAME on an even side at stride 2: nothing before, one after.
    model = _padded([0, 0, 0, 0, 0, 0, 1, 1])
    fused = checked(fuse_pad(model), after="fuse_pad")
    assert [node.op_type for node in fused.graph.node] == ["Conv"]
    assert attribute(fused.graph.node[0], "pads") == [0, 0, 1, 1]
    assert {tensor.name for tensor in fused.graph.initializer} == {"w"}
    image = np.random.default_rng(1).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    expected, found = run_model(model, {"image": image}), run_model(fused, {"image": image})
    np.testing.assert_allclose(found["y"], expected["y"], atol=1e-6)


def test_pad_with_another_value_stays() -> None:
    fused = fuse_pad(_padded([0, 0, 0, 0, 0, 0, 1, 1], value=0.5))
    assert [node.op_type for node in fused.graph.node] == ["Pad", "Conv"]


def test_pad_that_others_read_stays() -> None:
    model = model_from(
        """
        g (float[1,3,8,8] image) => (float[1,4,4,4] y, float[1,3,9,9] padded) {
          padded = Pad(image, pads)
          y = Conv<kernel_shape = [3, 3], strides = [2, 2]>(padded, w)
        }
        """,
        pads=np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64),
        w=np.ones((4, 3, 3, 3), np.float32),
    )
    assert [node.op_type for node in fuse_pad(model).graph.node] == ["Pad", "Conv"]
