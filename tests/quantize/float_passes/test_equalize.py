"""Channels of a tensor get like ranges, and nothing is clipped that wasn't."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.calibrate.calibration_set import Pixels
from edgessd.graph.dataflow import observed_tensors
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import GraphView
from edgessd.quantize.float_passes.equalize import MARGIN, SMALLEST_SHARE, equalize
from edgessd.quantize.float_passes.observed_graph import ObservedGraph


def test_channels_end_up_with_like_ranges(uneven: FloatGraph, samples: Pixels) -> None:
    observed = ObservedGraph(graph=uneven, samples=samples)
    before, after = observed.channels, equalize(observed).channels
    # It feeds a depthwise convolution, where equalizing to the end costs nothing.
    name = "backbone.blocks.3.expand.activation"
    small, largest = before[name].maximum[2], before[name].maximum.max()
    grown = after[name].maximum[2] / small
    usual = before[name].mean_maximum[2]
    expected = np.clip(largest / (MARGIN * small + small - usual), 1, 1 / SMALLEST_SHARE)
    assert grown == pytest.approx(expected, rel=1e-3)
    assert grown > 4


def test_no_tensor_grows_and_no_relu6_clips_more_values(
    uneven: FloatGraph, samples: Pixels
) -> None:
    observed = ObservedGraph(graph=uneven, samples=samples)
    before, after = observed.channels, equalize(observed).channels
    view = GraphView(uneven.model)
    for name in observed_tensors(uneven.model):
        producer = view.producer(name)
        if producer is None or producer.op_type != "Clip":
            continue
        assert after[name].maximum.max() <= before[name].maximum.max() * 1.0001


def test_residual_streams_share_their_factors(uneven: FloatGraph, samples: Pixels) -> None:
    observed = ObservedGraph(graph=uneven, samples=samples)
    before, after = observed.channels, equalize(observed).channels
    view = GraphView(uneven.model)
    adds = [node for node in uneven.model.graph.node if node.op_type == "Add"]
    assert adds
    for node in adds:
        factors = [
            after[name].variance / np.maximum(before[name].variance, 1e-12)
            for name in (*node.input, node.output[0])
        ]
        alive = before[node.output[0]].variance > 1e-6
        for other in factors[1:]:
            np.testing.assert_allclose(other[alive], factors[0][alive], rtol=1e-2)
        assert view.producer(node.output[0]) is not None
