"""Look-ups on a graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx_text import model_from

from edgessd.core.errors import GraphError
from edgessd.graph.view import GraphView, copy_of, set_initializer


@pytest.fixture
def model() -> onnx.ModelProto:
    return model_from(
        """
        g (float[1,2,4,4] image) => (float[1,2,4,4] x, float[1,2,4,4] y) {
          [first] x = Conv<kernel_shape = [1, 1]>(image, w)
          [twice] s = Add(x, x)
          [last] y = Relu(s)
        }
        """,
        w=np.ones((2, 2, 1, 1), np.float32),
    )


def test_producers_readers_and_shapes_are_found(model: onnx.ModelProto) -> None:
    view = GraphView(model)
    assert (view.inputs, view.outputs) == (("image",), ("x", "y"))
    producer = view.producer("s")
    assert producer is not None
    assert producer.name == "twice"
    assert view.producer("image") is None
    assert [node.name for node in view.consumers("x")] == ["twice"]
    assert view.shape("s") == (1, 2, 4, 4)
    assert view.shape("w") == (2, 2, 1, 1)


def test_a_graph_output_has_no_only_reader(model: onnx.ModelProto) -> None:
    view = GraphView(model)
    assert view.only_consumer("x") is None
    only = view.only_consumer("s")
    assert only is not None
    assert only.name == "last"


def test_a_computed_tensor_has_no_constant_value(model: onnx.ModelProto) -> None:
    view = GraphView(model)
    assert view.is_constant("w")
    assert not view.is_constant("s")
    with pytest.raises(GraphError, match="output of Add 'twice'"):
        view.constant("s")


def test_an_initializer_is_replaced_in_the_copy_alone(model: onnx.ModelProto) -> None:
    copy = copy_of(model)
    set_initializer(copy, "w", np.zeros((2, 2, 1, 1), np.float32))
    set_initializer(copy, "scale", np.array(0.5, np.float32))
    assert GraphView(copy).constant("w").sum() == 0
    assert GraphView(copy).constant("scale").shape == ()
    assert GraphView(model).constant("w").sum() == 4
