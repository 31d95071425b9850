"""Moments are those of the patches that a convolution sees."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgessd.calibrate.calibration_set import CalibrationSet, evenly
from edgessd.calibrate.channels import collect_channels
from edgessd.calibrate.moments import collect_moments
from edgessd.calibrate.samples import draw_samples, network_input
from edgessd.core.contract import Preprocess
from edgessd.core.network_tensors import INPUT
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import checked, run_model
from edgessd.graph.view import GraphView, copy_of


def conv_model(weight: np.ndarray, **attributes: object) -> onnx.ModelProto:
    """One Conv on images of 7x6 pixels."""
    nodes = [
        # Doubled first: an image alone is no feature map that could be read out.
        helper.make_node("Add", [INPUT, INPUT], ["doubled"], "add"),
        helper.make_node("Conv", ["doubled", "w"], ["y"], "conv", **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, (1, 3, 6, 7))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return checked(model, after="the test")


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((4, 3, 1, 1), {}),
        ((4, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
        ((4, 3, 3, 3), {"pads": [0, 1, 1, 0], "strides": [2, 2]}),
        ((3, 1, 3, 3), {"group": 3, "pads": [2, 2, 2, 2], "dilations": [2, 2]}),
    ],
    ids=["pointwise", "dense", "stride", "depthwise"],
)
def test_mean_and_variance_of_the_outputs_follow(
    shape: tuple[int, ...], attributes: dict[str, object]
) -> None:
    # Of any weights: mean output = w m, variance of the output = w C w^T.
    random = np.random.default_rng(0)
    weight = random.normal(size=shape).astype(np.float32)
    model = conv_model(weight, **attributes)
    samples = random.integers(0, 256, (5, 3, 6, 7), dtype=np.uint8)
    preprocess = Preprocess(width=7, height=6)
    (moments,) = collect_moments(model, preprocess, [model.graph.node[1]], samples).values()
    outputs = np.concatenate(
        [
            run_model(model, {INPUT: network_input(pixels, preprocess)})["y"].reshape(shape[0], -1)
            for pixels in samples
        ],
        axis=1,
    )
    assert moments.count == outputs.shape[1]
    rows = weight.reshape(len(moments.mean), -1, moments.mean.shape[1]).astype(np.float64)
    mean = np.einsum("grk,gk->gr", rows, moments.mean).reshape(-1)
    variance = np.einsum("grk,gkl,grl->gr", rows, moments.covariance, rows).reshape(-1)
    np.testing.assert_allclose(mean, outputs.mean(axis=1), atol=1e-4)
    np.testing.assert_allclose(variance, outputs.var(axis=1), rtol=1e-3)


def test_channels_are_those_of_the_float_graph(small_graph: FloatGraph) -> None:
    random = np.random.default_rng(1)
    spec = small_graph.contract.preprocess
    samples = random.integers(0, 256, (3, 3, spec.height, spec.width), dtype=np.uint8)
    name = "backbone.blocks.2.add"
    found = collect_channels(small_graph, samples)[name]
    everything = copy_of(small_graph.model)
    shape = GraphView(small_graph.model).shape(name)
    everything.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    values = np.stack(
        [run_model(everything, {INPUT: network_input(p, spec)})[name][0] for p in samples]
    )
    np.testing.assert_allclose(found.maximum, values.max((0, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.mean_minimum, values.min((2, 3)).mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.mean, values.mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.variance, values.var((0, 2, 3)), rtol=1e-3, atol=1e-6)


def test_samples_are_spread_and_broken_files_left_out(photos, tmp_path, small_graph) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    spec = small_graph.contract.preprocess
    samples = draw_samples(
        CalibrationSet([*photos.iterdir(), broken]), small_graph.contract, count=17
    )
    assert samples.shape == (16, 3, spec.height, spec.width)
    assert len(draw_samples(CalibrationSet(photos.iterdir()), small_graph.contract, count=5)) == 5
    assert evenly(range(10), 5) == [0, 2, 4, 6, 8]


def test_inputs_that_hardly_vary_keep_a_covariance() -> None:
    """Values around 2,000 that move by 0.01: a difference of float32 sums would be off by 100 times that."""
    weight = np.zeros((1, 3, 1, 1), np.float32)
    model = conv_model(weight)
    samples = np.random.default_rng(0).integers(0, 256, (6, 3, 6, 7), dtype=np.uint8)
    preprocess = Preprocess(width=7, height=6, mean=(-1e5,) * 3, std=(100.0,) * 3)
    (moments,) = collect_moments(model, preprocess, [model.graph.node[1]], samples).values()
    inputs = 2 * np.concatenate(
        [network_input(pixels, preprocess)[0] for pixels in samples], axis=1
    )
    expected = np.cov(inputs.reshape(3, -1).astype(np.float64), bias=True)
    np.testing.assert_allclose(moments.covariance[0], expected, atol=0.02 * expected.max())
    assert (np.linalg.eigvalsh(moments.covariance[0].astype(np.float64)) > 0).all()


def test_moments_are_the_same_each_time(small_graph: FloatGraph) -> None:
    """Two threads finish in any order; the float32 sums don't show it."""
    spec = small_graph.contract.preprocess
    pixels = np.random.default_rng(1).integers(
        0, 256, (12, 3, spec.height, spec.width), dtype=np.uint8
    )
    convolutions = [node for node in small_graph.model.graph.node if node.op_type == "Conv"][-8:]
    first, *others = (
        collect_moments(small_graph.model, spec, convolutions, pixels) for _ in range(4)
    )
    for other in others:
        for name, moments in first.items():
            np.testing.assert_array_equal(other[name].covariance, moments.covariance)
            np.testing.assert_array_equal(other[name].mean, moments.mean)
