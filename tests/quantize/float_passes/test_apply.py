"""Preparation changes weights and the contract, never what the detector finds."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.channels import collect_channels
from edgessd.calibrate.samples import network_input, no_samples
from edgessd.core.anchors import anchor_boxes
from edgessd.core.contract import Scoring
from edgessd.core.decode import decode_boxes
from edgessd.core.errors import CalibrationError, GraphError
from edgessd.core.network_tensors import INPUT
from edgessd.graph.dataflow import observed_tensors
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.quantize.float_passes.apply import apply_float_passes
from edgessd.quantize.float_passes.balance_box_codes import balance_box_codes
from edgessd.quantize.float_passes.equalize import MARGIN, SMALLEST_SHARE, equalize
from edgessd.quantize.float_passes.head_convs import head_convs
from edgessd.quantize.float_passes.silence_background import silence_background
from edgessd.quantize.recipe import FloatPasses

EVERYTHING = FloatPasses(
    **dict.fromkeys(FloatPasses.__struct_fields__, True)  # type: ignore[arg-type]
)


@pytest.fixture(scope="module")
def samples(small_graph: FloatGraph) -> Pixels:
    """Eight smooth images at the network's size."""
    import cv2

    random = np.random.default_rng(5)
    spec = small_graph.contract.preprocess
    coarse = random.integers(0, 256, (8, 9, 12, 3), dtype=np.uint8)
    planes = [cv2.resize(image, (spec.width, spec.height)).transpose(2, 0, 1) for image in coarse]
    return np.stack(planes)


@pytest.fixture(scope="module")
def uneven(small_graph: FloatGraph) -> FloatGraph:
    """The small graph with sizes of boxes eight times what they were, and one channel a tenth."""
    model, view = copy_of(small_graph.model), GraphView(small_graph.model)
    for head in head_convs(view, "box_codes"):
        for name in head.input[1:]:
            values = np.array(view.constant(name))
            values.reshape(-1, 4, *values.shape[1:])[:, 2:] *= 8
            set_initializer(model, name, values)
    for suffix in ("weight", "bias"):
        name = f"backbone.blocks.3.expand.conv.{suffix}"
        values = np.array(view.constant(name))
        values[2] *= 0.1
        set_initializer(model, name, values)
    return FloatGraph(model=model, contract=small_graph.contract)


def _outputs(graph: FloatGraph, pixels: Pixels) -> dict[str, np.ndarray]:
    return run_model(graph.model, {INPUT: network_input(pixels, graph.contract.preprocess)})


def _boxes(graph: FloatGraph, codes: np.ndarray) -> np.ndarray:
    """Whatever the anchors and variances are, the boxes must stay."""
    anchors = anchor_boxes(graph.contract.anchors)
    return decode_boxes(codes[0], anchors, graph.contract.box_code)


def test_everything_together_answers_what_the_graph_answered(
    uneven: FloatGraph, samples: Pixels
) -> None:
    prepared = apply_float_passes(uneven, samples, EVERYTHING)
    assert prepared.sha256 != uneven.sha256
    for pixels in samples:
        before, after = _outputs(uneven, pixels), _outputs(prepared, pixels)
        np.testing.assert_allclose(
            after["class_scores"], before["class_scores"], atol=2e-4, rtol=1e-4
        )
        np.testing.assert_allclose(
            _boxes(prepared, after["box_codes"]),
            _boxes(uneven, before["box_codes"]),
            atol=1e-4,
            rtol=1e-3,
        )


def test_nothing_wanted_is_nothing_done(small_graph: FloatGraph) -> None:
    none = no_samples(small_graph.contract.preprocess)
    assert apply_float_passes(small_graph, none, FloatPasses()) is small_graph


def test_preparing_without_images_is_refused(small_graph: FloatGraph) -> None:
    none = no_samples(small_graph.contract.preprocess)
    with pytest.raises(CalibrationError, match="none could be read"):
        apply_float_passes(small_graph, none, EVERYTHING)


def test_channels_end_up_with_like_ranges(uneven: FloatGraph, samples: Pixels) -> None:
    before = collect_channels(uneven, samples)
    after = collect_channels(equalize(uneven, before), samples)
    # It feeds a depthwise convolution, where equalizing to the end costs nothing.
    name = "backbone.blocks.3.expand.activation"
    small, largest = before[name].maximum[2], before[name].maximum.max()
    grown = after[name].maximum[2] / small
    usual = before[name].mean_maximum[2]
    expected = np.clip(largest / (MARGIN * small + small - usual), 1, 1 / SMALLEST_SHARE)
    assert grown == pytest.approx(expected, rel=1e-3)
    assert grown > 4


def test_no_tensor_grows_and_no_relu6_clips_what_it_did_not(
    uneven: FloatGraph, samples: Pixels
) -> None:
    before = collect_channels(uneven, samples)
    after = collect_channels(equalize(uneven, before), samples)
    view = GraphView(uneven.model)
    for name in observed_tensors(uneven.model):
        producer = view.producer(name)
        if producer is None or producer.op_type != "Clip":
            continue
        assert after[name].maximum.max() <= before[name].maximum.max() * 1.0001


def test_residual_streams_share_their_factors(uneven: FloatGraph, samples: Pixels) -> None:
    before = collect_channels(uneven, samples)
    after = collect_channels(equalize(uneven, before), samples)
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


def test_positions_grow_to_sizes_and_the_variance_pays(uneven: FloatGraph, samples: Pixels) -> None:
    balanced = balance_box_codes(uneven, collect_channels(uneven, samples))
    old, new = uneven.contract.box_code, balanced.contract.box_code
    factor = old.centre_variance / new.centre_variance
    assert factor >= 4
    assert np.log2(factor) % 1 == 0
    assert new.size_variance == old.size_variance
    before, after = (_outputs(graph, samples[0])["box_codes"] for graph in (uneven, balanced))
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
    balanced = balance_box_codes(graph, collect_channels(graph, samples))
    assert balanced.contract == graph.contract


def test_only_a_background_that_nobody_reads_is_silenced(
    small_graph: FloatGraph, samples: Pixels
) -> None:
    assert small_graph.contract.scoring == Scoring(activation="softmax", background=True)
    assert silence_background(small_graph) is small_graph
    contract = replace(small_graph.contract, scoring=Scoring(activation="sigmoid", background=True))
    graph = FloatGraph(model=small_graph.model, contract=contract)
    before, after = (
        _outputs(each, samples[0])["class_scores"] for each in (graph, silence_background(graph))
    )
    assert before[..., 0].any()
    assert not after[..., 0].any()
    np.testing.assert_array_equal(after[..., 1:], before[..., 1:])


def test_a_head_with_another_reader_is_refused(small_graph: FloatGraph) -> None:
    model = copy_of(small_graph.model)
    (head, *_) = head_convs(GraphView(model), "box_codes")
    model.graph.output.add().CopyFrom(
        next(value for value in model.graph.value_info if value.name == head.output[0])
    )
    with pytest.raises(GraphError, match="another reader"):
        head_convs(GraphView(model), "box_codes")
