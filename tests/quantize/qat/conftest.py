"""The small float graph and its quantized forms, whose ranges training starts from."""

from __future__ import annotations

import numpy as np
import pytest

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.recipe import Exemption, Recipe, load_recipe
from edgessd.quantize.schemes import SCHEMES, SchemeName

STEM = "backbone.stem.activation"
RECIPE = Recipe(
    name="with a float tensor in one scheme",
    activations=load_recipe("default").activations,
    exemptions=(
        Exemption(tensors=("box_codes", "class_scores", STEM), keep_float=True, scheme="symmetric"),
    ),
)


@pytest.fixture(scope="package")
def absorbed(small_graph: FloatGraph) -> FloatGraph:
    return as_quantizable(small_graph).graph


@pytest.fixture(scope="package")
def graphs(
    small_graph: FloatGraph, tmp_path_factory: pytest.TempPathFactory
) -> dict[SchemeName, QuantGraph]:
    import cv2

    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for index in range(16):
        image = random.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index:02}.png"), cv2.resize(image, (97, 64)))
    table = collect(small_graph, CalibrationSet(folder.iterdir()))
    graph = as_quantizable(small_graph)
    return {name: quantize(graph, table, scheme=name, recipe=RECIPE) for name in SCHEMES}
