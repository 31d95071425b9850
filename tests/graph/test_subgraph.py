"""The part of a graph behind a tensor computes the same outputs as the whole graph."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.core.network_tensors import INPUT, OUTPUTS
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.subgraph import subgraph_from
from edgessd.graph.verify import checked, run_model
from edgessd.graph.view import GraphView, copy_of


@pytest.mark.parametrize(
    ("cut", "outputs"),
    [
        ("backbone.blocks.2.project.conv", OUTPUTS),
        ("backbone.blocks.2.add", OUTPUTS),
        ("heads.1.box.pointwise", OUTPUTS[:1]),
    ],
)
def test_the_part_gives_the_outputs_of_the_graph(
    small_graph: FloatGraph, cut: str, outputs: tuple[str, ...]
) -> None:
    part = checked(subgraph_from(small_graph.model, cut), after="subgraph_from")
    read = [entry.name for entry in part.graph.input]
    assert read[0] == cut
    assert [output.name for output in part.graph.output] == list(outputs)
    assert len(part.graph.node) < len(small_graph.model.graph.node)
    whole, view = copy_of(small_graph.model), GraphView(small_graph.model)
    for name in read:
        whole.graph.output.add(name=name).type.tensor_type.elem_type = 1
    height, width = view.shape(INPUT)[2:]
    image = np.random.default_rng(1).normal(size=(1, 3, height, width)).astype(np.float32)
    expected = run_model(whole, {INPUT: image})
    found = run_model(part, {name: expected[name] for name in read})
    for name in outputs:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, rtol=1e-5)
