"""A quantized graph's file carries what was done to it."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from edgessd.calibrate.table import CalibrationTable
from edgessd.core.errors import GraphError
from edgessd.core.onnx_metadata import QUANTIZATION_KEY
from edgessd.graph.float_graph import FloatGraph, save_graph
from edgessd.quantize.qdq.quant_graph import QuantGraph, load_quant_graph, save_quant_graph
from edgessd.quantize.schemes import SchemeName


def test_file_carries_contract_recipe_and_calibration(
    graphs: dict[SchemeName, QuantGraph], table: CalibrationTable, tmp_path: Path
) -> None:
    graph = graphs["affine"]
    save_quant_graph(graph, tmp_path / "q.onnx")
    loaded = load_quant_graph(tmp_path / "q.onnx")
    assert (loaded.contract, loaded.quantization) == (graph.contract, graph.quantization)
    assert loaded.sha256 == graph.sha256
    assert loaded.quantization.calibration.images == 16
    assert loaded.quantization.calibration.images_sha256 == table.images_sha256


def test_float_file_isnt_taken_for_a_quantized_one(small_graph: FloatGraph, tmp_path: Path) -> None:
    save_graph(small_graph, tmp_path / "float.onnx")
    with pytest.raises(GraphError, match="float graph"):
        load_quant_graph(tmp_path / "float.onnx")


def test_a_recipe_with_the_keys_of_earlier_versions_is_read(
    graphs: dict[SchemeName, QuantGraph], tmp_path: Path
) -> None:
    path = tmp_path / "old.onnx"
    save_quant_graph(graphs["affine"], path)
    model = onnx.load(path)
    (entry,) = (entry for entry in model.metadata_props if entry.key == QUANTIZATION_KEY)
    stated = json.loads(entry.value)
    switches = stated["recipe"].pop("float_passes")
    switches["centre_channels"] = switches.pop("center_channels")
    stated["recipe"]["preparation"] = switches
    entry.value = json.dumps(stated)
    onnx.save(model, path)
    assert load_quant_graph(path).recipe == graphs["affine"].recipe
