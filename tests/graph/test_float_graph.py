"""Files of float graphs."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgessd.core.errors import GraphError
from edgessd.graph.float_graph import FloatGraph, load_graph, save_graph


def test_a_graph_comes_back_from_its_file(small_graph: FloatGraph, tmp_path: Path) -> None:
    save_graph(small_graph, tmp_path / "graph.onnx")
    found = load_graph(tmp_path / "graph.onnx")
    assert found.contract == small_graph.contract
    assert found.sha256 == small_graph.sha256
    assert found.trained_ranges is None


def test_a_graph_without_a_contract_is_refused(small_graph: FloatGraph, tmp_path: Path) -> None:
    onnx.save(small_graph.model, tmp_path / "plain.onnx")
    with pytest.raises(GraphError, match=r"no contract.*no metadata"):
        load_graph(tmp_path / "plain.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "There is no graph"), (b"", "holds no graph"), (b"text", "can't be read as ONNX")],
)
def test_a_file_without_a_graph_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "graph.onnx").write_bytes(content)
    with pytest.raises(GraphError, match=message):
        load_graph(tmp_path / "graph.onnx")
