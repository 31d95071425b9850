"""Each pass on a graph small enough to read."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, parser

from edgessd.graph.dataflow import materialized_tensors, observed_tensors
from edgessd.graph.passes.fuse_pad import fuse_pad
from edgessd.graph.passes.own_parameters import own_parameters
from edgessd.graph.verify import checked, run_model
from edgessd.graph.view import GraphView, attribute

_HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'


def _model(text: str, **initializers: np.ndarray) -> onnx.ModelProto:
    model = parser.parse_model(_HEADER + text)
    for name, value in initializers.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return checked(model, after="the test")


def _padded(pads: list[int], value: float = 0.0) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    return _model(
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
    model = _model(
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


def test_only_what_an_engine_writes_is_materialised() -> None:
    model = _model(
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
