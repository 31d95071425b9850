"""Exemptions and refusals of a plan."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from msgspec.structs import replace

from edgessd.calibrate.table import CalibrationTable
from edgessd.core.errors import GraphError
from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.graph.view import GraphView, copy_of
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.recipe import Exemption, load_recipe

pytestmark = pytest.mark.slow


def _nodes(model: onnx.ModelProto, op_type: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == op_type]


def test_exemption_keeps_tensors_float_in_the_symmetric_scheme_only(
    small_graph: FloatGraph, table: CalibrationTable
) -> None:
    exemption = Exemption(tensors=("heads.*.score.depthwise.activation",), keep_float=True)
    recipe = replace(load_recipe("default"), exemptions=(exemption,))
    graph = quantize(as_quantizable(small_graph), table, scheme="symmetric", recipe=recipe)
    view = GraphView(graph.model)
    for conv in _nodes(graph.model, "Conv"):
        if conv.name.endswith("score.pointwise"):
            # Its input is float, so its weight is too.
            assert conv.input[0].endswith("depthwise.activation")
            assert view.constant(conv.input[1]).dtype == np.float32
    assert set(run_model(graph.model, {INPUT: np.zeros((1, 3, 64, 97), np.float32)})) == {
        "box_codes",
        "class_scores",
    }
    with pytest.raises(GraphError, match="keep_float"):
        quantize(as_quantizable(small_graph), table, scheme="affine", recipe=recipe)


def test_operation_without_an_integer_form_is_refused(
    small_graph: FloatGraph, table: CalibrationTable
) -> None:
    model = copy_of(small_graph.model)
    for node in model.graph.node:
        if node.name == "backbone.last.activation":
            node.op_type = "HardSwish"
            del node.input[1:]
    graph = FloatGraph(model=model, contract=small_graph.contract)
    matching = CalibrationTable(
        tensors=table.tensors, images=table.images, skipped={}, graph_sha256=graph.sha256
    )
    with pytest.raises(GraphError, match=r"HardSwish 'backbone\.last\.activation'"):
        quantize(as_quantizable(graph), matching, scheme="affine", recipe=load_recipe("default"))
