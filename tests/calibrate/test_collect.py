"""Calibration on real files: exact extremes, named skips, refusals with reasons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.calibrate.collect import collect
from edgessd.calibrate.tensor_probe import stride_of
from edgessd.core.errors import CalibrationError
from edgessd.core.images import read_image
from edgessd.core.network_tensors import INPUT
from edgessd.core.preprocess import preprocess_image
from edgessd.core.tensors import TensorSpec
from edgessd.graph.dataflow import observed_tensors
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import run_model
from edgessd.graph.view import GraphView, copy_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images of uneven sizes and contrasts."""
    import cv2

    path = tmp_path_factory.mktemp("calibration")
    random = np.random.default_rng(0)
    for index in range(20):
        small = random.integers(0, 80 + 8 * index, (6, 8, 3), dtype=np.uint8)
        image = cv2.resize(small, (80 + index, 60 + 2 * index), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(path / f"{index:02}.png"), image)
    return path


def test_extremes_are_those_of_the_float_graph(small_graph: FloatGraph, folder: Path) -> None:
    images = sorted(folder.iterdir())
    names = observed_tensors(small_graph.model)
    table = collect(small_graph, CalibrationSet(images))
    assert list(table.tensors) == names
    view, everything = GraphView(small_graph.model), copy_of(small_graph.model)
    del everything.graph.output[:]
    for name in names[1:]:
        value = helper.make_tensor_value_info(name, 1, view.shape(name))
        everything.graph.output.append(value)
    spec = TensorSpec(name=INPUT, shape=(1, 3, 64, 97), dtype="float32", layout="NCHW")
    lows, highs = [], []
    for path in images:
        tensor, _ = preprocess_image(read_image(path), small_graph.contract.preprocess, spec)
        values = run_model(everything, {INPUT: tensor})
        lows.append([values[name].min() for name in names[1:]])
        highs.append([values[name].max() for name in names[1:]])
    for index, name in enumerate(names[1:]):
        found = table[name]
        low, high = np.array(lows)[:, index], np.array(highs)[:, index]
        assert (found.minimum, found.maximum) == pytest.approx((low.min(), high.max()), abs=1e-5)
        assert found.mean_minimum == pytest.approx(low.mean(), abs=1e-5)
        assert found.mean_maximum == pytest.approx(high.mean(), abs=1e-5)
        assert found.edges[0] <= found.minimum <= found.maximum <= found.edges[-1]


def test_outcome_doesnt_depend_on_order_or_workers(small_graph: FloatGraph, folder: Path) -> None:
    images = sorted(folder.iterdir())
    first = collect(small_graph, CalibrationSet(images), workers=1)
    second = collect(small_graph, CalibrationSet(reversed(images)), workers=3)
    assert first.images_sha256 == second.images_sha256
    for name, statistics in first.tensors.items():
        np.testing.assert_array_equal(second[name].counts, statistics.counts)
        assert second[name].mean_minimum == statistics.mean_minimum


def test_broken_image_is_skipped_and_named(
    small_graph: FloatGraph, folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 not a picture")
    seen: list[tuple[int, int]] = []
    images = [*sorted(folder.iterdir()), broken]
    table = collect(
        small_graph, CalibrationSet(images), progress=lambda done, total: seen.append((done, total))
    )
    assert list(table.skipped) == [str(broken)]
    assert len(table.images) == 20
    assert seen == [(done, 21) for done in range(1, 22)]


def test_four_images_are_refused_with_the_reason(small_graph: FloatGraph, folder: Path) -> None:
    images = sorted(folder.iterdir())[:4]
    with pytest.raises(CalibrationError) as refusal:
        collect(small_graph, CalibrationSet(images))
    message = refusal.value.paragraph()
    for part in ("accuracy", "at least 16 images", "4 images", "minimum_images"):
        assert part in message
    forced = collect(small_graph, CalibrationSet(images), minimum=4)
    assert len(forced.images) == 4


def test_no_images_are_refused_whatever_the_minimum(small_graph: FloatGraph) -> None:
    with pytest.raises(CalibrationError, match="0 images"):
        collect(small_graph, CalibrationSet([]), minimum=0)


def test_only_broken_images_are_refused(small_graph: FloatGraph, tmp_path: Path) -> None:
    for index in range(16):
        (tmp_path / f"{index}.jpg").write_bytes(b"")
    with pytest.raises(CalibrationError, match=r"0 readable images.*16 can't be read"):
        collect(small_graph, CalibrationSet(tmp_path.iterdir()))


def test_values_that_arent_finite_name_the_tensor(small_graph: FloatGraph, folder: Path) -> None:
    from edgessd.graph.view import set_initializer

    model = copy_of(small_graph.model)
    bias = np.full_like(GraphView(model).constant("extras.0.squeeze.conv.bias"), np.nan)
    set_initializer(model, "extras.0.squeeze.conv.bias", bias)
    graph = FloatGraph(model=model, contract=small_graph.contract)
    with pytest.raises(CalibrationError, match=r"extras\.0\.squeeze"):
        collect(graph, CalibrationSet(folder.iterdir()))


@pytest.mark.parametrize("shape", [(1, 1917, 4), (1, 96, 150, 150), (1, 12, 2, 2), (1, 21, 75, 75)])
def test_sample_visits_every_row_and_column(shape: tuple[int, ...]) -> None:
    size, sample = int(np.prod(shape)), 5000
    stride = stride_of(shape, sample)
    assert -(-size // stride) <= sample
    taken = np.unravel_index(np.arange(0, size, stride), shape)
    for axis, side in enumerate(shape):
        # Of 1,917 anchors four values each, 5,000 samples can't reach all.
        assert len(np.unique(taken[axis])) >= min(side, 1500)
