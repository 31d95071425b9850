"""Pairing columns changes no bit of the outputs, and happens only if it saves work."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tflite_graphs import RELU6, VALID

from edgessd.lower.tflite.lower import lower_network


@pytest.mark.parametrize(
    ("channels", "kernel", "width", "pads"),
    [
        *itertools.product([1, 3, 4], [3, 5], [10, 16], [[0, 0, 1, 1], [1, 0, 1, 1]]),
        (3, 2, 8, VALID),
        (3, 3, 8, VALID),
    ],
)
def test_column_pairs_change_nothing(
    qdq_graph, litert_reference, litert_xnnpack, channels, kernel, width, pads
):

    graph = qdq_graph(kernel)
    x = graph.image((1, channels, 9, width))
    shape = (8, channels, kernel, kernel)
    made = graph.conv(x, "conv", shape, clip="Clip", strides=[2, 2], pads=pads)
    graph.qdq(made, RELU6, -128, output="out")
    model = graph.model("out")
    plain, paired = lower_network(model), lower_network(model, column_pairs=True)
    assert plain.content != paired.content, "the pass didn't apply"
    image = np.random.default_rng(2).integers(-128, 128, plain.inputs[0].shape).astype(np.int8)
    for run in (litert_reference, litert_xnnpack):
        first, second = run(plain.content, image)["out"], run(paired.content, image)["out"]
        np.testing.assert_array_equal(first, second)
        assert len(np.unique(first)) > 20


@pytest.mark.parametrize(
    ("channels", "size", "strides", "pads"),
    [
        (3, (8, 9), [2, 2], [0, 0, 1, 1]),  # odd width
        (3, (8, 8), [2, 1], [0, 0, 1, 1]),  # stride 1
        (3, (8, 8), [2, 2], [1, 1, 1, 1]),  # padding on the left
        (8, (8, 8), [2, 2], [0, 0, 1, 1]),  # full groups of channels already
    ],
)
def test_column_pairs_leave_other_convolutions_alone(qdq_graph, channels, size, strides, pads):

    graph = qdq_graph(1)
    x = graph.image((1, channels, *size))
    made = graph.conv(x, "conv", (8, channels, 3, 3), strides=strides, pads=pads)
    graph.qdq(made, 0.03, 0, output="out")
    model = graph.model("out")
    assert lower_network(model, column_pairs=True).content == lower_network(model).content
