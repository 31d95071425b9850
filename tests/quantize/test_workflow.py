"""One path from a float graph to quantized graphs, for calibrated and for trained ranges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from edgessd.bundle.manifest import CalibrationRecord
from edgessd.calibrate.calibration_set import CalibrationSet, KnownDataset
from edgessd.calibrate.collect import collect
from edgessd.core.errors import CalibrationError, GraphError
from edgessd.graph.float_graph import FloatGraph
from edgessd.model.trained_ranges import TrainedRanges
from edgessd.quantize.analysis.saturation import saturation
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qdq import names
from edgessd.quantize.recipe import Exemption, FloatPasses, RangeRule, Recipe
from edgessd.quantize.workflow import (
    QuantizationResult,
    Stage,
    quantize_calibrated,
    quantize_graph,
)

pytestmark = pytest.mark.slow

RECIPE = Recipe(
    name="test",
    activations=RangeRule(method="percentile", percentile=99.0),
    float_passes=FloatPasses(equalize=True),
)


@pytest.fixture(scope="module")
def images(photos: Path) -> CalibrationSet:
    return CalibrationSet(photos.iterdir())


@pytest.fixture(scope="module")
def result(small_graph: FloatGraph, images: CalibrationSet) -> QuantizationResult:
    return quantize_graph(small_graph, images, recipe=RECIPE, schemes=("affine", "symmetric"))


def test_the_result_is_that_of_the_single_steps(
    result: QuantizationResult, images: CalibrationSet
) -> None:
    assert result.table is not None
    assert result.table.graph_sha256 == result.graph.source.sha256
    assert list(result.quantized) == ["affine", "symmetric"]
    table = collect(result.graph.source, images)
    for scheme, found in result.quantized.items():
        expected = quantize(result.graph, table, scheme=scheme, recipe=RECIPE)
        assert found.sha256 == expected.sha256
        assert found.contract == result.graph.graph.contract
        assert result.saturation[scheme] == saturation(found.model, result.table)


def test_the_audit_judges_the_worst_range_of_all_schemes(result: QuantizationResult) -> None:
    assert (result.audit.images, result.audit.distinct) == (16, 16)
    shares = [share for scheme in result.saturation.values() for share in scheme.values()]
    assert max(shares) > 0
    assert result.audit.worst_saturation == pytest.approx(max(shares), abs=1e-6)


def test_stages_are_reported_in_order(
    small_graph: FloatGraph, images: CalibrationSet, tmp_path: Path
) -> None:
    reported: list[tuple[Stage, int, int]] = []
    for _ in range(2):
        quantize_graph(
            small_graph,
            images,
            recipe=RECIPE,
            schemes=("affine",),
            cache=tmp_path,
            progress=lambda *step: reported.append(step),
        )
    collecting: list[tuple[Stage, int, int]] = [("calibrate", done, 16) for done in range(1, 17)]
    ends: list[tuple[Stage, int, int]] = [("quantize", 0, 0), ("audit", 0, 0)]
    start: tuple[Stage, int, int] = ("calibrate", 0, 0)
    # The second time the table comes from the cache.
    assert reported == [start, *collecting, *ends, start, *ends]


def test_another_recipe_quantizes_the_same_table_again(
    result: QuantizationResult, images: CalibrationSet
) -> None:
    assert result.table is not None
    kept = Exemption(tensors=("class_scores",), keep_float=True, scheme="symmetric")
    again = quantize_calibrated(
        result.graph,
        result.table,
        images,
        recipe=structs.replace(RECIPE, exemptions=(kept,)),
        schemes=("symmetric",),
    )
    assert names.scale("class_scores") in _initializers(result)
    assert names.scale("class_scores") not in _initializers(again)


def _initializers(result: QuantizationResult) -> set[str]:
    return {tensor.name for tensor in result.quantized["symmetric"].model.graph.initializer}


def test_images_of_the_evaluation_are_refused(small_graph: FloatGraph, photos: Path) -> None:
    leaked = KnownDataset(
        name="pets", trained={}, calibrated={}, evaluation={"val": tuple(photos.iterdir())}
    )
    images = CalibrationSet(photos.iterdir(), dataset=leaked)
    with pytest.raises(CalibrationError, match="would flatter it"):
        quantize_graph(small_graph, images, recipe=RECIPE, schemes=("affine",))


def test_a_training_that_will_move_the_ranges_has_no_saturation(
    small_graph: FloatGraph, images: CalibrationSet, result: QuantizationResult
) -> None:
    found = quantize_graph(
        small_graph, images, recipe=RECIPE, schemes=("affine",), audit_saturation=False
    )
    assert found.audit.worst_saturation is None
    assert found.quantized["affine"].sha256 == result.quantized["affine"].sha256


@pytest.fixture(scope="module")
def trained(small_graph: FloatGraph, result: QuantizationResult) -> FloatGraph:
    """The small graph with ranges as a training would have left them."""
    rounded = {
        names.stored_name(node)
        for node in result.quantized["affine"].model.graph.node
        if node.op_type == "QuantizeLinear"
    }
    ranges = TrainedRanges(
        schemes=("affine",),
        ranges=dict.fromkeys(rounded, (-4.0, 4.0)),
        calibration=CalibrationRecord(recipe="test", images=16, images_sha256="0" * 64),
        audit=result.audit,
    )
    return replace(small_graph, trained_ranges=ranges)


def test_trained_ranges_are_taken_as_they_stand(trained: FloatGraph, tmp_path: Path) -> None:
    missing = CalibrationSet([tmp_path / "no image is read.png"])
    found = quantize_graph(trained, missing, recipe=RECIPE, schemes=("affine",), cache=tmp_path)
    assert found.table is None
    assert not found.saturation
    assert found.graph.source is trained
    assert trained.trained_ranges is not None
    assert found.audit == trained.trained_ranges.audit
    scales = {
        tensor.name: tensor.float_data or tensor.raw_data
        for tensor in found.quantized["affine"].model.graph.initializer
        if tensor.name.endswith(names.scale("activation"))
    }
    assert len({bytes(value) for value in scales.values()}) == 1
    assert not list(tmp_path.iterdir())


def test_a_scheme_that_was_not_trained_is_refused(
    trained: FloatGraph, images: CalibrationSet
) -> None:
    with pytest.raises(GraphError, match="another quantization scheme than symmetric"):
        quantize_graph(trained, images, recipe=RECIPE, schemes=("symmetric",))
