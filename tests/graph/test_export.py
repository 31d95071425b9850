"""Exported graphs are clean, named, and compute what the model computes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgessd.core.errors import GraphError
from edgessd.core.network_tensors import INPUT
from edgessd.graph.export import export_module
from edgessd.graph.float_graph import FloatGraph, load_graph, read_model, save_graph, write_model
from edgessd.graph.verify import check_parity, checked, run_model
from edgessd.graph.view import GraphView
from edgessd.model.new_detector import new_detector
from edgessd.model.ssdlite import build_model

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("size", [(97, 65), (64, 96)], ids=["odd", "even"])
def test_outputs_equal_the_model_on_other_images(size: tuple[int, int], padding: str) -> None:
    torch.manual_seed(1)
    config, contract = new_detector(("a", "b"), width=0.35, input_size=size, padding=padding)
    model = build_model(config, contract).eval()
    graph = export_module(model, contract)
    image = np.random.default_rng(7).normal(0, 2, (1, 3, size[1], size[0])).astype(np.float32)
    with torch.no_grad():
        expected = [output.numpy() for output in model(torch.from_numpy(image))]
    found = run_model(graph.model, {INPUT: image})
    np.testing.assert_allclose(found["box_codes"], expected[0], atol=1e-4)
    np.testing.assert_allclose(found["class_scores"], expected[1], atol=1e-4)
    assert "Pad" not in {node.op_type for node in graph.model.graph.node}


def test_graph_has_only_operations_of_engines(small_graph: FloatGraph) -> None:
    counts = Counter(node.op_type for node in small_graph.model.graph.node)
    assert set(counts) == {"Conv", "Clip", "Add", "Transpose", "Reshape", "Concat"}
    assert counts["Concat"] == 2
    # Ten of MobileNetV2's seventeen blocks keep their shape and have a skip.
    assert counts["Add"] == 10


def test_names_come_from_the_modules(small_graph: FloatGraph) -> None:
    names = {node.name for node in small_graph.model.graph.node}
    assert len(names) == len(small_graph.model.graph.node)
    assert {
        "backbone.stem.conv",
        "backbone.stem.activation",
        "backbone.blocks.2.expand.conv",
        "backbone.blocks.2.add",
        "heads.0.box.pointwise",
        "heads.0.box.transpose",
        "box_codes.concat",
    } <= names
    view = GraphView(small_graph.model)
    for node in small_graph.model.graph.node:
        if node.op_type == "Conv":
            assert list(node.input[1:]) == [f"{node.name}.weight", f"{node.name}.bias"]
        if node.output[0] not in view.outputs:
            assert node.output[0] == node.name


def test_every_shape_is_static(small_graph: FloatGraph) -> None:
    view = GraphView(small_graph.model)
    for node in small_graph.model.graph.node:
        assert all(side > 0 for side in view.shape(node.output[0]))
    assert view.shape(INPUT) == (1, 3, 64, 97)


def test_file_carries_the_contract(small_graph: FloatGraph, tmp_path: Path) -> None:
    save_graph(small_graph, tmp_path / "float.onnx")
    loaded = load_graph(tmp_path / "float.onnx")
    assert loaded.contract == small_graph.contract
    assert loaded.sha256 == small_graph.sha256


def test_same_weights_give_the_same_hash() -> None:
    torch.manual_seed(3)
    config, contract = new_detector(("a",), width=0.35, input_size=(64, 64))
    model = build_model(config, contract)
    first, second = (export_module(model, contract).sha256 for _ in range(2))
    with torch.no_grad():
        next(model.parameters())[0, 0, 0, 0] += 1
    assert first == second != export_module(model, contract).sha256


def test_export_doesnt_touch_the_model() -> None:
    config, contract = new_detector(("a",), width=0.35, input_size=(64, 64))
    model = build_model(config, contract)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_module(model, contract)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_diverged_model_is_refused() -> None:
    config, contract = new_detector(("a",), width=0.35, input_size=(64, 64))
    model = build_model(config, contract).eval()
    with torch.no_grad():
        next(model.heads.parameters())[:] = float("nan")
    with pytest.raises(GraphError, match="box_codes"):
        export_module(model, contract)


def test_contract_of_another_network_is_refused() -> None:
    config, contract = new_detector(("a",), width=0.35, input_size=(64, 64))
    _, other = new_detector(("a", "b"), width=0.35, input_size=(64, 64))
    with pytest.raises(GraphError, match="contract"):
        export_module(build_model(config, contract), other)


@pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x08\x09"])
def test_file_of_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=r"graph\.onnx"):
        load_graph(path)


def test_file_without_contract_is_refused(small_graph: FloatGraph, tmp_path: Path) -> None:
    write_model(small_graph.model, tmp_path / "bare.onnx", {})
    with pytest.raises(GraphError, match=r"edgessd\.contract"):
        load_graph(tmp_path / "bare.onnx")
    with pytest.raises(GraphError, match="no graph at"):
        read_model(tmp_path / "missing.onnx")


def test_malformed_graph_is_refused_with_the_pass_that_made_it(small_graph: FloatGraph) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(small_graph.model)
    model.graph.node[3].input[0] = "nowhere"
    with pytest.raises(GraphError, match="after some_pass"):
        checked(model, after="some_pass")


def test_parity_names_the_output_that_moved_most() -> None:
    expected = {"a": np.zeros(3, np.float32), "b": np.zeros(3, np.float32)}
    found = {"a": np.full(3, 2e-4, np.float32), "b": np.full(3, 5e-2, np.float32)}
    with pytest.raises(GraphError, match="'b'"):
        check_parity(expected, found, what="Test")
    with pytest.raises(GraphError, match="no such output"):
        check_parity(expected, {"a": expected["a"]}, what="Test")
    assert check_parity(expected, expected, what="Test") == 0.0
