"""Tables and rewritten graphs of earlier builds serve again, and only where they fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.calibration_cache import calibration_table, quantizable_graph
from edgessd.quantize.recipe import FloatPasses

pytestmark = pytest.mark.slow


def collected(graph: FloatGraph, images: CalibrationSet, cache: Path | None) -> int:
    """Return the number of images that had to be run for a table."""
    seen: list[int] = []
    table = calibration_table(
        graph, images, minimum=8, cache=cache, progress=lambda done, total: seen.append(done)
    )
    assert len(table.images) == len(images)
    return len(seen)


def test_a_table_is_made_once(small_graph: FloatGraph, photos: Path, tmp_path: Path) -> None:
    images = CalibrationSet(photos.iterdir())
    first = calibration_table(small_graph, images, minimum=8, cache=tmp_path)
    seen: list[int] = []
    again = calibration_table(
        small_graph,
        images,
        minimum=8,
        cache=tmp_path,
        progress=lambda done, total: seen.append(done),
    )
    assert seen == []
    assert again.images == first.images
    for name, statistics in first.tensors.items():
        assert (again[name].minimum, again[name].maximum) == (
            statistics.minimum,
            statistics.maximum,
        )
        np.testing.assert_array_equal(again[name].counts, statistics.counts)


def test_the_same_pictures_elsewhere_are_the_same(
    small_graph: FloatGraph, photos: Path, tmp_path: Path
) -> None:
    cache, moved = tmp_path / "cache", Path(shutil.copytree(photos, tmp_path / "moved"))
    assert collected(small_graph, CalibrationSet(photos.iterdir()), cache) == 16
    assert collected(small_graph, CalibrationSet(moved.iterdir()), cache) == 0


def test_another_picture_makes_another_table(
    small_graph: FloatGraph, photos: Path, tmp_path: Path
) -> None:
    cache, changed = tmp_path / "cache", Path(shutil.copytree(photos, tmp_path / "changed"))
    collected(small_graph, CalibrationSet(photos.iterdir()), cache)
    shutil.copy(photos / "00.png", changed / "01.png")
    assert collected(small_graph, CalibrationSet(changed.iterdir()), cache) == 16
    assert collected(small_graph, CalibrationSet(sorted(photos.iterdir())[:12]), cache) == 12
    assert len(list(cache.glob("*.npz"))) == 3


def test_a_damaged_table_is_made_again(
    small_graph: FloatGraph, photos: Path, tmp_path: Path
) -> None:
    images = CalibrationSet(photos.iterdir())
    collected(small_graph, images, tmp_path)
    (table,) = tmp_path.glob("*.npz")
    table.write_bytes(b"damaged")
    assert collected(small_graph, images, tmp_path) == 16
    assert collected(small_graph, images, tmp_path) == 0


def test_without_cache_nothing_is_kept(small_graph: FloatGraph, photos: Path) -> None:
    images = CalibrationSet(sorted(photos.iterdir())[:8])
    assert collected(small_graph, images, None) == 8
    assert collected(small_graph, images, None) == 8


def test_a_graph_is_rewritten_once(small_graph: FloatGraph, photos: Path, tmp_path: Path) -> None:
    images = CalibrationSet(photos.iterdir())
    wanted = FloatPasses(equalize=True, balance_box_codes=True)
    first = quantizable_graph(small_graph, images, wanted, cache=tmp_path)
    assert first.source.sha256 != small_graph.sha256
    (kept,) = tmp_path.glob("*.onnx")
    written = kept.stat().st_ino, kept.stat().st_mtime_ns
    again = quantizable_graph(small_graph, images, wanted, cache=tmp_path)
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == written
    assert again.source.sha256 == first.source.sha256
    assert again.source.contract == first.source.contract
    assert again.graph.sha256 == first.graph.sha256


def test_other_passes_make_another_graph(
    small_graph: FloatGraph, photos: Path, tmp_path: Path
) -> None:
    images = CalibrationSet(photos.iterdir())
    for wanted in (FloatPasses(equalize=True), FloatPasses(center_channels=True)):
        quantizable_graph(small_graph, images, wanted, cache=tmp_path)
    assert len(list(tmp_path.glob("*.onnx"))) == 2
    none = quantizable_graph(small_graph, images, FloatPasses(), cache=tmp_path)
    assert none.source is small_graph
    assert len(list(tmp_path.glob("*.onnx"))) == 2


def test_a_damaged_graph_is_rewritten_again(
    small_graph: FloatGraph, photos: Path, tmp_path: Path
) -> None:
    images, wanted = CalibrationSet(photos.iterdir()), FloatPasses(equalize=True)
    first = quantizable_graph(small_graph, images, wanted, cache=tmp_path)
    (kept,) = tmp_path.glob("*.onnx")
    kept.write_bytes(b"half a file")
    again = quantizable_graph(small_graph, images, wanted, cache=tmp_path)
    assert again.source.sha256 == first.source.sha256
