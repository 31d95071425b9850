"""Ranges shrink if no output depends on their ends, and only then."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.core.errors import CalibrationError
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.view import GraphView, copy_of, set_initializer
from edgessd.quantize.analysis.output_error import OutputError
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qdq import names
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.ranges.tighten_ranges import FEW, SHARES, best_share
from edgessd.quantize.recipe import Recipe, load_recipe

pytestmark = pytest.mark.slow

CUT = "backbone.blocks.16.project.conv"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return replace(load_recipe("minmax"), tighten_ranges=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    import cv2

    path = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for index in range(16):
        image = random.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(path / f"{index:02}.png"), cv2.resize(image, (97, 64)))
    return sorted(path.iterdir())


def _scale(graph: QuantGraph, tensor: str) -> float:
    return float(GraphView(graph.model).constant(names.scale(tensor)).item())


def test_a_channel_that_nobody_reads_does_not_set_the_scale(
    small_graph: FloatGraph, photos: list[Path], recipe: Recipe
) -> None:
    model, view = copy_of(small_graph.model), GraphView(small_graph.model)
    maker = view.producer(CUT)
    assert maker is not None
    weight = np.array(view.constant(maker.input[1]))
    weight[0] *= 3
    set_initializer(model, maker.input[1], weight)
    for reader in view.consumers(CUT):
        weight = np.array(view.constant(reader.input[1]))
        weight[:, 0] = 0
        set_initializer(model, reader.input[1], weight)
    graph = FloatGraph(model=model, contract=small_graph.contract)
    table = collect(graph, CalibrationSet(photos))
    quantizable, loose = as_quantizable(graph), replace(recipe, tighten_ranges=False)
    plain = quantize(quantizable, table, scheme="affine", recipe=loose)
    tight = quantize(quantizable, table, scheme="affine", recipe=recipe)
    assert _scale(tight, CUT) < 0.75 * _scale(plain, CUT)
    bounded = "backbone.blocks.3.expand.activation"
    assert _scale(tight, bounded) == _scale(plain, bounded)


def _noise(power: float) -> OutputError:
    return OutputError(score=power, code=power, box=power, box_power=power)


def test_the_largest_share_that_is_as_good_wins() -> None:
    powers = {1.0: 4.0, 0.85: 2.2, 0.7: 2.0, 0.55: 9.0}
    assert set(powers) == set(SHARES)
    assert best_share(lambda share, _: _noise(powers[share])) == 0.85


def test_small_gains_are_left_alone() -> None:
    powers = {1.0: 2.0, 0.85: 1.8, 0.7: 1.9, 0.55: 9.0}
    assert best_share(lambda share, _: _noise(powers[share])) == 1.0


def test_what_gets_worse_is_not_tried_further() -> None:
    tried = []

    def measure(share: float, images: int) -> OutputError:
        tried.append((share, images))
        return _noise(1 / share**2)

    assert best_share(measure) == 1.0
    assert sorted(tried) == [(SHARES[1], FEW), (SHARES[0], FEW)]


def test_a_tensor_without_influence_keeps_its_range() -> None:
    assert best_share(lambda share, _: _noise(0.0)) == 1.0


def test_a_table_without_images_is_refused(
    small_graph: FloatGraph, photos: list[Path], recipe: Recipe
) -> None:
    table = collect(small_graph, CalibrationSet(photos))
    bare = dataclasses.replace(table, samples=table.samples[:0])
    with pytest.raises(CalibrationError, match="has none"):
        quantize(as_quantizable(small_graph), bare, scheme="affine", recipe=recipe)
