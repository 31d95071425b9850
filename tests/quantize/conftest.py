"""Graphs of the small detector, quantized in both schemes without exemptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.calibrate.table import CalibrationTable
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.recipe import load_recipe
from edgessd.quantize.schemes import SCHEMES, SchemeName


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen blurred noise images."""
    import cv2

    path = tmp_path_factory.mktemp("calibration")
    random = np.random.default_rng(0)
    for index in range(16):
        image = random.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(path / f"{index:02}.png"), cv2.resize(image, (97, 64)))
    return path


@pytest.fixture(scope="package")
def table(small_graph: FloatGraph, folder: Path) -> CalibrationTable:
    return collect(small_graph, CalibrationSet(folder.iterdir()))


@pytest.fixture(scope="package")
def graphs(small_graph: FloatGraph, table: CalibrationTable) -> dict[SchemeName, QuantGraph]:
    recipe = replace(load_recipe("default"), exemptions=())
    graph = as_quantizable(small_graph)
    return {name: quantize(graph, table, scheme=name, recipe=recipe) for name in SCHEMES}
