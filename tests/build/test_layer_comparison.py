"""Compare the inner tensors of each form of a detector, and find the first that differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgessd.build.layer_comparison import (
    DIVERGED_DB,
    measure_divergence,
    open_layer_probe,
    probe_graph,
)
from edgessd.bundle.store import Bundle
from edgessd.core.errors import GraphError
from edgessd.core.images import read_image
from edgessd.graph.export import export_float_graph
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import copy_of
from edgessd.model.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow

Bundles = dict[str, Bundle]


@pytest.fixture(scope="module")
def images(photos: Path) -> list[np.ndarray]:
    return [read_image(path) for path in sorted(photos.iterdir())[:2]]


@pytest.fixture(scope="module")
def graph(tiny_checkpoint: Path) -> FloatGraph:
    return export_float_graph(load_checkpoint(tiny_checkpoint))


def test_every_form_is_compared_under_the_graphs_own_names(
    tiny_checkpoint: Path, tiny_bundles: Bundles, images: list[np.ndarray]
) -> None:
    reference = open_layer_probe(tiny_checkpoint)
    for name, fewest, least in (
        ("host-float", 60, 90),
        ("host", 60, 5),
        ("android", 60, 5),
        ("jetson-orin-nano", 40, 5),
    ):
        found = measure_divergence(
            reference, open_layer_probe(tiny_bundles[name].directory), images
        )
        tensors = [layer.tensor for layer in found.layers]
        assert len(tensors) > fewest, name
        assert "backbone.blocks.0.depthwise.activation" in tensors
        assert {"box_codes", "class_scores"} <= set(tensors)
        assert tensors == [name for name in reference.tensors if name in set(tensors)]
        # The first layer has little noise in int8 and almost none in float.
        assert found.layers[0].sqnr_db > (90 if name == "host-float" else 25), name
        assert min(layer.sqnr_db for layer in found.layers) > least - 5, name


def test_the_first_damaged_layer_is_found(graph: FloatGraph, images: list[np.ndarray]) -> None:
    damaged = copy_of(graph.model)
    (conv,) = (n for n in damaged.graph.node if n.output[0] == "backbone.blocks.3.project.conv")
    for weight in damaged.graph.initializer:
        if weight.name == conv.input[1]:
            noise = np.random.default_rng(0).normal(size=tuple(weight.dims))
            values = numpy_helper.to_array(weight)
            spoilt = (values + noise * values.std()).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(spoilt, weight.name))
    reference = probe_graph(graph.model, graph.contract)
    found = measure_divergence(reference, probe_graph(damaged, graph.contract), images)
    assert found.first is not None
    assert found.first.tensor == "backbone.blocks.3.project.conv"
    record = found.as_json()
    assert (record["first"], record["images"]) == (found.first.tensor, 2)
    assert record["layers"]["backbone.blocks.2.project.conv"] > 90
    assert record["layers"]["backbone.blocks.3.project.conv"] < DIVERGED_DB


def test_a_graph_without_a_common_tensor_is_refused(
    graph: FloatGraph, images: list[np.ndarray]
) -> None:
    renamed = onnx.ModelProto.FromString(graph.model.SerializeToString())
    for node in renamed.graph.node:
        node.output[:] = [f"x.{name}" for name in node.output]
        node.input[:] = [
            f"x.{name}" if any(name == m.output[0][2:] for m in renamed.graph.node) else name
            for name in node.input
        ]
    del renamed.graph.value_info[:]
    for value in renamed.graph.output:
        value.name = f"x.{value.name}"
    reference = probe_graph(graph.model, graph.contract)
    with pytest.raises(GraphError, match="layer by layer"):
        measure_divergence(reference, probe_graph(checked(renamed), graph.contract), images)


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(model)


def test_a_foreign_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.tflite"
    path.write_bytes(b"TFL3")
    with pytest.raises(GraphError, match=r"theirs\.tflite can't be compared layer by layer"):
        open_layer_probe(path)
