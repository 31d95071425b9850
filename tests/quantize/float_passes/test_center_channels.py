"""Channels move to the middle of their tensor, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.channels import ChannelStatistics, collect_channels
from edgessd.calibrate.samples import network_input
from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.quantize.float_passes.center_channels import center_channels
from edgessd.quantize.float_passes.observed_graph import ObservedGraph


@pytest.fixture(scope="module")
def samples(small_graph: FloatGraph) -> Pixels:
    random = np.random.default_rng(3)
    spec = small_graph.contract.preprocess
    return random.integers(0, 256, (4, 3, spec.height, spec.width), dtype=np.uint8)


@pytest.fixture(scope="module")
def lopsided(small_graph: FloatGraph) -> FloatGraph:
    """The small graph with bottleneck channels far from 0, some up and some down."""
    model, view = copy_of(small_graph.model), GraphView(small_graph.model)
    for node in small_graph.model.graph.node:
        if node.op_type == "Conv" and ".project." in node.output[0]:
            bias = np.array(view.constant(node.input[2]))
            bias += np.where(np.arange(len(bias)) % 2, 5, -5).astype(np.float32)
            set_initializer(model, node.input[2], bias)
    return FloatGraph(model=model, contract=small_graph.contract)


def _width(entry: ChannelStatistics) -> float:
    return float(entry.mean_maximum.max() - entry.mean_minimum.min())


def test_outputs_stay_and_linear_tensors_get_narrow(lopsided: FloatGraph, samples: Pixels) -> None:
    before = collect_channels(lopsided, samples)
    centered = center_channels(ObservedGraph(graph=lopsided, samples=samples))
    stated, after = centered.channels, collect_channels(centered.graph, samples)
    view = GraphView(lopsided.model)
    linear = [name for name in before if view.producer(name).op_type == "Add"]  # type: ignore[union-attr]
    assert linear
    for name in linear:
        assert _width(after[name]) < 0.8 * _width(before[name])
    for pixels in samples:
        image = {INPUT: network_input(pixels, lopsided.contract.preprocess)}
        first, second = run_model(lopsided.model, image), run_model(centered.graph.model, image)
        for name, expected in first.items():
            np.testing.assert_allclose(second[name], expected, atol=2e-4, rtol=1e-4)
    for name, entry in after.items():
        np.testing.assert_allclose(stated[name].maximum, entry.maximum, atol=1e-3, rtol=1e-4)
        np.testing.assert_allclose(stated[name].mean, entry.mean, atol=1e-3, rtol=1e-3)
        np.testing.assert_allclose(stated[name].variance, entry.variance, atol=1e-3, rtol=1e-2)


def test_what_a_padded_convolution_reads_stays(lopsided: FloatGraph, samples: Pixels) -> None:
    observed = ObservedGraph(graph=lopsided, samples=samples)
    before, stated = observed.channels, center_channels(observed).channels
    view = GraphView(lopsided.model)
    padded = [
        name
        for name in before
        for reader in view.consumers(name)
        if reader.op_type == "Conv" and view.shape(reader.input[1])[2:] != (1, 1)
    ]
    assert padded
    for name in padded:
        assert stated[name] is before[name]
