"""Positions and sizes of boxes get like ranges; the contract's variances make up for it."""

from __future__ import annotations

import numpy as np

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.channels import collect_channels
from edgessd.calibrate.samples import network_input
from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.quantize.float_passes.balance_box_codes import balance_box_codes
from edgessd.quantize.float_passes.head_convs import head_convs
from edgessd.quantize.float_passes.observed_graph import ObservedGraph


def outputs(graph: FloatGraph, pixels: Pixels) -> dict[str, np.ndarray]:
    return run_model(graph.model, {INPUT: network_input(pixels, graph.contract.preprocess)})


def test_positions_grow_to_sizes_and_the_variance_pays(uneven: FloatGraph, samples: Pixels) -> None:
    balanced = balance_box_codes(ObservedGraph(graph=uneven, samples=samples)).graph
    old, new = uneven.contract.box_code, balanced.contract.box_code
    factor = old.centre_variance / new.centre_variance
    assert factor >= 4
    assert np.log2(factor) % 1 == 0
    assert new.size_variance == old.size_variance
    before, after = (outputs(graph, samples[0])["box_codes"] for graph in (uneven, balanced))
    np.testing.assert_allclose(after[..., :2], before[..., :2] * factor, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after[..., 2:], before[..., 2:], rtol=1e-4, atol=1e-4)


def test_alike_positions_and_sizes_stay(small_graph: FloatGraph, samples: Pixels) -> None:
    model, view = copy_of(small_graph.model), GraphView(small_graph.model)
    for head in head_convs(view, "box_codes"):
        for name in head.input[1:]:
            values = np.array(view.constant(name))
            columns = values.reshape(-1, 4, *values.shape[1:])
            columns[:, 2:] = columns[:, :2]
            set_initializer(model, name, values)
    graph = FloatGraph(model=model, contract=small_graph.contract)
    balanced = balance_box_codes(ObservedGraph(graph=graph, samples=samples)).graph
    assert balanced.contract == graph.contract


def test_statistics_follow_the_heads(uneven: FloatGraph, samples: Pixels) -> None:
    balanced = balance_box_codes(ObservedGraph(graph=uneven, samples=samples))
    measured = collect_channels(balanced.graph, samples)
    for head in head_convs(GraphView(uneven.model), "box_codes"):
        found, expected = balanced.channels[head.output[0]], measured[head.output[0]]
        np.testing.assert_allclose(found.maximum, expected.maximum, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-3, atol=1e-4)
