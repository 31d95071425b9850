"""Each tensor quantized alone: shares that add up, and a ruined tensor that stands out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.calibrate.samples import draw_samples
from edgessd.calibrate.table import CalibrationTable
from edgessd.core.errors import CalibrationError
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.analysis.sensitivity import Sensitivity, measure_sensitivity
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.recipe import Exemption, RangeRule, Recipe

pytestmark = pytest.mark.slow

RUINED = "backbone.blocks.5.project.conv"


@pytest.fixture(scope="module")
def images(photos: Path) -> list[Path]:
    return sorted(photos.iterdir())


@pytest.fixture(scope="module")
def table(small_graph: FloatGraph, images: list[Path]) -> CalibrationTable:
    return collect(small_graph, CalibrationSet(images))


def measure(graph: FloatGraph, table, images, scheme="affine", exemptions=()) -> Sensitivity:
    recipe = Recipe(
        name="test", activations=RangeRule(method="minmax"), exemptions=tuple(exemptions)
    )
    quantizable = as_quantizable(graph)
    quantized = quantize(quantizable, table, scheme=scheme, recipe=recipe)
    model, contract = quantizable.graph.model, quantizable.graph.contract
    samples = draw_samples(CalibrationSet(images), contract, count=1)
    steps: list[tuple[int, int]] = []
    found = measure_sensitivity(
        model,
        quantized.model,
        contract,
        samples,
        lambda done, total: steps.append((done, total)),
    )
    assert steps[-1] == (len(found.losses), len(found.losses))
    return found


@pytest.mark.parametrize("scheme", ["affine", "symmetric"])
def test_a_tensor_with_a_ruined_range_stands_out(
    small_graph: FloatGraph, table, images, scheme: str
) -> None:
    ruined = Exemption(tensors=(RUINED,), range=RangeRule(method="percentile", percentile=60))
    if scheme == "symmetric":  # its residual branches stay float; this block has none
        ruined = replace_tensors(ruined, ("backbone.blocks.5.expand.activation",))
    found = measure(small_graph, table, images, scheme, [ruined])
    assert found.losses[0].name == ruined.tensors[0]
    assert found.losses[0].kind == "activation"
    assert sum(loss.share for loss in found.losses) == pytest.approx(1)
    assert {loss.kind for loss in found.losses} == {"activation", "weights"}
    assert len(found.losses) > 100
    assert [loss.share for loss in found.losses] == sorted(
        (loss.share for loss in found.losses), reverse=True
    )
    assert (found.images, found.anchors > 0) == (1, True)
    assert 0 < found.score_error < 1
    # The whole can't be told from its worst part where that part is ruined.
    assert found.score_error > found.losses[0].score_error / 3


def replace_tensors(exemption: Exemption, tensors: tuple[str, ...]) -> Exemption:
    return Exemption(tensors=tensors, range=exemption.range)


def test_a_detector_that_sees_nothing_is_refused(small_graph: FloatGraph, table, images) -> None:
    samples = np.zeros((0, 3, 64, 97), np.uint8)
    quantizable = as_quantizable(small_graph)
    model, contract = quantizable.graph.model, quantizable.graph.contract
    recipe = Recipe(name="test", activations=RangeRule(method="minmax"))
    quantized = quantize(quantizable, table, scheme="affine", recipe=recipe)
    with pytest.raises(CalibrationError, match="sees nothing"):
        measure_sensitivity(model, quantized.model, contract, samples)
