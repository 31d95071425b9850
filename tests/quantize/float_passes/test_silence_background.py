"""Only a background column that is never read is zeroed."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.samples import network_input
from edgessd.core.contract import Scoring
from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.quantize.float_passes.observed_graph import ObservedGraph
from edgessd.quantize.float_passes.silence_background import silence_background


def test_a_background_of_a_softmax_stays(small_graph: FloatGraph, samples: Pixels) -> None:
    assert small_graph.contract.scoring == Scoring(activation="softmax", background=True)
    observed = ObservedGraph(graph=small_graph, samples=samples)
    assert silence_background(observed) is observed


def test_a_background_of_sigmoid_scores_is_zeroed(small_graph: FloatGraph, samples: Pixels) -> None:
    contract = replace(small_graph.contract, scoring=Scoring(activation="sigmoid", background=True))
    graph = FloatGraph(model=small_graph.model, contract=contract)
    silenced = silence_background(ObservedGraph(graph=graph, samples=samples)).graph
    image = {INPUT: network_input(samples[0], contract.preprocess)}
    before, after = (run_model(each.model, image)["class_scores"] for each in (graph, silenced))
    assert before[..., 0].any()
    assert not after[..., 0].any()
    np.testing.assert_array_equal(after[..., 1:], before[..., 1:])
