"""Anchors take other shapes, and every box stays where it is."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.channels import collect_channels
from edgessd.calibrate.samples import network_input
from edgessd.core.anchors import anchor_boxes
from edgessd.core.decode import decode_boxes
from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.quantize.float_passes.head_convs import head_convs
from edgessd.quantize.float_passes.observed_graph import ObservedGraph
from edgessd.quantize.float_passes.shift_box_sizes import shift_box_sizes


@pytest.fixture(scope="module")
def samples(small_graph: FloatGraph) -> Pixels:
    random = np.random.default_rng(4)
    spec = small_graph.contract.preprocess
    return random.integers(0, 256, (6, 3, spec.height, spec.width), dtype=np.uint8)


@pytest.fixture(scope="module")
def small_objects(small_graph: FloatGraph) -> FloatGraph:
    """The small graph, its first anchor seeing objects a fifth of its size."""
    model, view = copy_of(small_graph.model), GraphView(small_graph.model)
    head = head_convs(view, "box_codes")[0]
    bias = np.array(view.constant(head.input[2]))
    bias[2:4] -= 8
    set_initializer(model, head.input[2], bias)
    return FloatGraph(model=model, contract=small_graph.contract)


def _codes(graph: FloatGraph, pixels: Pixels) -> np.ndarray:
    image = {INPUT: network_input(pixels, graph.contract.preprocess)}
    return run_model(graph.model, image)["box_codes"][0]


def test_boxes_stay_and_codes_fit_half_the_range(
    small_objects: FloatGraph, samples: Pixels
) -> None:
    outcome = shift_box_sizes(ObservedGraph(graph=small_objects, samples=samples))
    shifted, stated = outcome.graph, outcome.channels
    old, new = (anchor_boxes(graph.contract.anchors) for graph in (small_objects, shifted))
    np.testing.assert_array_equal(new[:, :2], old[:, :2])
    assert (new[:, 2:] < old[:, 2:]).any()
    code = small_objects.contract.box_code
    largest = {"before": 0.0, "after": 0.0}
    for pixels in samples:
        first, second = _codes(small_objects, pixels), _codes(shifted, pixels)
        np.testing.assert_allclose(
            decode_boxes(second, new, code), decode_boxes(first, old, code), atol=1e-4, rtol=1e-3
        )
        largest["before"] = max(largest["before"], float(np.abs(first[:, 2:]).max()))
        largest["after"] = max(largest["after"], float(np.abs(second[:, 2:]).max()))
    assert largest["after"] < 0.75 * largest["before"]
    after = collect_channels(shifted, samples)
    for head in head_convs(GraphView(shifted.model), "box_codes"):
        name = head.output[0]
        np.testing.assert_allclose(stated[name].minimum, after[name].minimum, atol=1e-3, rtol=1e-3)


def test_positions_use_the_room_that_sizes_leave(
    small_objects: FloatGraph, samples: Pixels
) -> None:
    observed = ObservedGraph(graph=small_objects, samples=samples)
    before, stated = observed.channels, shift_box_sizes(observed).channels
    grown = [
        float(np.abs(stated[head.output[0]].maximum / before[head.output[0]].maximum)[0])
        for head in head_convs(GraphView(small_objects.model), "box_codes")
    ]
    assert max(grown) > 1.2


def test_clipped_anchors_stay(small_objects: FloatGraph, samples: Pixels) -> None:
    anchors = replace(small_objects.contract.anchors, clip=True)
    clipped = FloatGraph(
        model=small_objects.model, contract=replace(small_objects.contract, anchors=anchors)
    )
    observed = ObservedGraph(graph=clipped, samples=samples)
    assert shift_box_sizes(observed) is observed
