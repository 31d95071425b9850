"""Search for the tensors that stay float: as few as are needed, and refused if none can."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import edgessd
from msgspec import structs

from edgessd.build.calibration_images import images_in
from edgessd.build.max_drop import DropSearch, float_share, shortest_prefix
from edgessd.core.errors import ParityError
from edgessd.graph.export import export_float_graph
from edgessd.graph.float_graph import FloatGraph
from edgessd.lower.tensorrt.lower import lower_to_tensorrt
from edgessd.model.checkpoint import load_checkpoint
from edgessd.quantize.recipe import RangeRule, Recipe
from edgessd.quantize.workflow import quantize_calibrated, quantize_graph

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def graph(tiny_checkpoint: Path) -> FloatGraph:
    return export_float_graph(load_checkpoint(tiny_checkpoint))


@pytest.fixture(scope="module")
def search(graph: FloatGraph, photos: Path) -> DropSearch:
    images = images_in(photos, limit=16)
    recipe = Recipe(name="test", activations=RangeRule(method="minmax"))
    return DropSearch(
        exported=graph,
        found=quantize_graph(graph, images, recipe=recipe, schemes=("affine", "symmetric")),
        images=images,
        scheme="symmetric",
        recipe=recipe,
    )


def test_bisection_finds_the_shortest_prefix() -> None:
    measured: list[int] = []

    def drop_of(names: tuple[str, ...]) -> float:
        measured.append(len(names))
        return 0.1 - 0.01 * len(names)

    order = tuple("abcdefghij")
    kept, drop = shortest_prefix(order, drop_of, 0.035)
    assert (kept, drop) == (order[:7], pytest.approx(0.03))
    assert len(measured) <= 5
    with pytest.raises(ParityError, match=r"0\.0000 with all 10 tensors"):
        shortest_prefix(order, drop_of, -0.001)


def test_the_kept_tensors_are_enough_and_tensorrt_takes_the_graph(search: DropSearch) -> None:
    loose = search.within(1.0)
    assert (loose.kept, loose.float_share) == ((), 0.0)
    assert loose.drop > 0.05
    limit = loose.drop / 2
    found = search.within(limit)
    assert 0 < len(found.kept) < 90
    assert found.drop <= limit < found.drop_before
    assert 0 < found.float_share < 1
    graph = found.found.quantized["symmetric"]
    assert found.float_share == float_share(search.found.graph.graph.model, graph.model)
    assert f"{len(found.kept)} tensors stay float16" in found.sentence()
    assert lower_to_tensorrt(graph).precision == "int8"


def test_all_tensors_in_float_leave_a_small_loss(search: DropSearch) -> None:
    """Only the stem stays in int8, since the image is quantized in any case."""
    recipe = structs.replace(search.recipe, rounding="learned")
    assert search.found.table is not None
    whole = quantize_calibrated(
        search.found.graph,
        search.found.table,
        search.images,
        recipe=recipe,
        schemes=("symmetric",),
    )
    learned = replace(search, recipe=recipe, found=whole)
    rest = learned.quantized(learned.order())
    rest_drop, whole_drop = learned.drop(rest), learned.drop(whole.quantized["symmetric"])
    assert rest_drop < 0.25 * whole_drop, (rest_drop, whole_drop)
    model = rest.model
    assert 0.8 < float_share(search.found.graph.graph.model, model) < 1


def test_an_integer_engine_is_refused_with_the_reason(search: DropSearch) -> None:
    affine = replace(search, scheme="affine")
    with pytest.raises(ParityError, match=r"integers throughout.*Found 0\.\d+ over 16"):
        affine.within(0.0001)
    assert affine.within(1.0).kept == ()


def test_build_reports_the_tensors_that_it_kept(
    tiny_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    words = ("build", "--no-gate", "--checkpoint", tiny_checkpoint, "--calibration", photos)
    ended = edgessd(
        *words, "--target", "jetson", "--out", tmp_path / "jetson", "--max-drop", "0.9", "--json"
    )
    assert "the loss of agreement AP in int8 is 0." in json.loads(ended.out)["advice"][0]
    refused = edgessd(
        *words, "--target", "host", "--out", tmp_path / "host", "--max-drop", "0.0001", code=1
    )
    assert "none of their operators mixes int8 with float" in " ".join(refused.err.split())
    assert not (tmp_path / "host").exists()
