"""Training rounds where the quantized graph has its pairs, and nowhere else."""

from __future__ import annotations

import pytest

from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import GraphView
from edgessd.quantize.qat.sites import quantizer_sites
from edgessd.quantize.qdq import names
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.schemes import SCHEMES, SchemeName

STEM = "backbone.stem.activation"


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_it_rounds_where_the_graph_has_its_pairs_and_nowhere_else(
    absorbed: FloatGraph, graphs: dict[SchemeName, QuantGraph], scheme: SchemeName
) -> None:
    sites = quantizer_sites(graphs[scheme].model)
    view = GraphView(graphs[scheme].model)
    pairs = {
        names.float_tensor(node): names.stored_name(node)
        for node in graphs[scheme].model.graph.node
        if node.op_type == "QuantizeLinear"
    }
    moved = {
        names.float_tensor(node)
        for node in graphs[scheme].model.graph.node
        if node.op_type == "QuantizeLinear"
        and (producer := view.producer(node.input[0])) is not None
        and producer.op_type in ("Transpose", "Reshape", "Concat")
    }
    assert moved or scheme == "symmetric"
    assert sites.activations == {name: pairs[name] for name in pairs.keys() - moved}
    float_inputs = {STEM} if scheme == "symmetric" else set()
    assert sites.convolutions == {
        node.name
        for node in absorbed.model.graph.node
        if node.op_type == "Conv" and node.input[0] not in float_inputs
    }
    assert STEM in pairs or scheme == "symmetric"
    skips = [name for name in sites.activations if name.endswith(".project.conv")]
    adds = sum(node.op_type == "Add" for node in absorbed.model.graph.node)
    projections = sum(node.name.endswith(".project.conv") for node in absorbed.model.graph.node)
    assert len(skips) == projections - (adds if scheme == "symmetric" else 0)
