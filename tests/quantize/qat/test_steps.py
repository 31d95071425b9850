"""The steps of a forward pass are those of the graph."""

from __future__ import annotations

import pytest

from edgessd.core.errors import GraphError
from edgessd.core.network_tensors import INPUT, OUTPUTS
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import copy_of
from edgessd.quantize.qat.steps import read_steps


def test_steps_follow_the_graph_and_free_what_is_read_for_the_last_time(
    absorbed: FloatGraph,
) -> None:
    steps = read_steps(absorbed.model)
    assert [step.output for step in steps] == [node.output[0] for node in absorbed.model.graph.node]
    alive: set[str] = {INPUT}
    for step in steps:
        assert set(step.inputs) <= alive
        alive = (alive | {step.output}) - set(step.frees)
    assert alive == set(OUTPUTS)


def test_an_operation_that_cannot_be_trained_is_named(absorbed: FloatGraph) -> None:
    model = copy_of(absorbed.model)
    next(node for node in model.graph.node if node.op_type == "Clip").op_type = "Sigmoid"
    with pytest.raises(GraphError, match=r"Sigmoid 'backbone\.stem\.activation'"):
        read_steps(model)
