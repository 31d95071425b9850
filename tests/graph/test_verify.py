"""Graphs that are checked and compared."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx_text import model_from

from edgessd.core.errors import GraphError
from edgessd.graph.verify import check_parity, checked, run_model


@pytest.fixture
def model() -> onnx.ModelProto:
    return model_from("g (float[2] x) => (float[2] y) { [twice] y = Add(x, x) }")


def test_a_model_runs_by_name(model: onnx.ModelProto) -> None:
    assert run_model(model, {"x": np.float32([1, 2])})["y"].tolist() == [2, 4]


def test_a_malformed_graph_names_the_pass_that_made_it(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[1] = "nowhere"
    with pytest.raises(GraphError, match="malformed after shuffle"):
        checked(model, after="shuffle")


def test_parity_returns_the_largest_difference() -> None:
    expected = {"a": np.float32([1, 2]), "b": np.float32([3])}
    found = {"a": np.float32([1, 2.25]), "b": np.float32([3])}
    assert check_parity(expected, found, what="Test", tolerance=0.5) == 0.25


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([1.0, 2.5], "most of all in 'a'"),
        ([1.0, np.nan], "most of all in 'a'"),
        ([1.0], r"shape \(2,\).*shape \(1,\)"),
        (None, "no such output"),
    ],
)
def test_other_outputs_are_refused(found: list[float] | None, message: str) -> None:
    outputs = {} if found is None else {"a": np.array(found, np.float32)}
    with pytest.raises(GraphError, match=message):
        check_parity({"a": np.float32([1, 2])}, outputs, what="Test", tolerance=0.1)
