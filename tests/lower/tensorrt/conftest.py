"""A small detector, calibrated and quantized in the symmetric scheme."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.calibrate.table import CalibrationTable
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.recipe import Exemption, load_recipe

Quantize = Callable[..., QuantGraph]


@pytest.fixture(scope="session")
def table(small_graph: FloatGraph, photos: Path) -> CalibrationTable:
    return collect(small_graph, CalibrationSet(photos.iterdir()))


@pytest.fixture(scope="session")
def quantized(small_graph: FloatGraph, table: CalibrationTable) -> Quantize:
    def make(*kept_float: str) -> QuantGraph:
        # The default recipe keeps tensors float itself, which would hide those that are kept here.
        recipe = load_recipe("average")
        if kept_float:
            exemption = Exemption(tensors=kept_float, keep_float=True)
            recipe = msgspec.structs.replace(recipe, exemptions=(exemption,))
        return quantize(as_quantizable(small_graph), table, scheme="symmetric", recipe=recipe)

    return make


@pytest.fixture(scope="session")
def graph(quantized: Quantize) -> QuantGraph:
    return quantized()
