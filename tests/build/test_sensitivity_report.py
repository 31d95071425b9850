"""The sensitivity report measures the graph that a build makes of the same checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from edgessd.build.build_bundle import BuildRequest, build_bundle
from edgessd.build.calibration_images import images_in
from edgessd.build.layer_comparison import measure_divergence, open_layer_probe, readable_images
from edgessd.build.sensitivity_report import report_sensitivity
from edgessd.bundle.manifest import CalibrationRecord
from edgessd.bundle.quality import CalibrationAudit
from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.graph.export import export_float_graph
from edgessd.model.checkpoint import load_checkpoint, save_checkpoint
from edgessd.model.trained_ranges import TrainedRanges
from edgessd.quantize.float_passes.apply import as_quantizable
from edgessd.quantize.ptq import quantize
from edgessd.quantize.qdq import names
from edgessd.quantize.qdq.quant_graph import QuantGraph
from edgessd.quantize.recipe import RangeRule, Recipe
from edgessd.target.load import load_target
from edgessd.target.spec import TargetSpec

pytestmark = pytest.mark.slow

RECIPE = Recipe(name="test", activations=RangeRule(method="minmax"))


@pytest.fixture(scope="module")
def trained_checkpoint(
    confident_checkpoint: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same detector with learned ranges, four times as wide as calibration would choose them."""
    checkpoint = load_checkpoint(confident_checkpoint)
    graph = export_float_graph(checkpoint)
    table = collect(graph, CalibrationSet(photos.iterdir()))
    quantized = quantize(as_quantizable(graph), table, scheme="affine", recipe=RECIPE)
    ranges = TrainedRanges(
        schemes=("affine",),
        ranges={name: (4 * low, 4 * high) for name, (low, high) in activation_ranges(quantized)},
        calibration=CalibrationRecord(recipe="test", images=16, images_sha256="0" * 64),
        audit=CalibrationAudit(
            images=16,
            distinct=16,
            unreadable=0,
            leaked=0,
            compared_with="",
            classes_unseen=(),
            mean_range_shift=None,
            worst_range_shift=None,
            worst_range_shift_tensor="",
            worst_saturation=None,
            worst_saturation_tensor="",
        ),
    )
    path = tmp_path_factory.mktemp("trained") / "trained.pt"
    save_checkpoint(path, replace(checkpoint, trained_ranges=ranges))
    return path


def activation_ranges(graph: QuantGraph) -> list[tuple[str, tuple[float, float]]]:
    """(name, (low, high)) of each scale that an activation has."""
    from edgessd.graph.view import GraphView

    view = GraphView(graph.model)
    found = {}
    for node in graph.model.graph.node:
        if node.op_type == "QuantizeLinear":
            scale, zero_point = (float(view.constant(name).item()) for name in node.input[1:3])
            name = names.stored_name(node)
            found[name] = ((-128 - zero_point) * scale, (127 - zero_point) * scale)
    return list(found.items())


@pytest.fixture(scope="module")
def qdq_target() -> TargetSpec:
    """A target whose engine is the quantized graph itself."""
    host = load_target("host")
    engine = structs.replace(host.engine, format="onnx", input_dtype="float32", column_pairs=False)
    return structs.replace(host, engine=engine)


@pytest.mark.parametrize("checkpoint", ["confident_checkpoint", "trained_checkpoint"])
def test_it_measures_the_graph_of_the_build(
    checkpoint: str,
    qdq_target: TargetSpec,
    photos: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    path = request.getfixturevalue(checkpoint)
    images = images_in(photos, limit=16)
    report = report_sensitivity(path, images, scheme="affine", recipe=RECIPE, count=1, cache=None)
    build_bundle(
        BuildRequest(
            target=qdq_target,
            checkpoint=path,
            name="tiny",
            out=tmp_path / "bundle",
            recipe=RECIPE,
            images=lambda: images,
            gate=False,
        )
    )
    built = measure_divergence(
        open_layer_probe(path),
        open_layer_probe(tmp_path / "bundle"),
        readable_images(images.paths, 4),
    )
    assert report.sqnr_db == {layer.tensor: layer.sqnr_db for layer in built.layers}
