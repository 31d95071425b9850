"""One calibration for every target: which images, and when a table serves again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgessd.build.calibration_images import (
    calibrate,
    images_in,
    images_of_run,
    prepare_for,
)
from edgessd.calibrate.calibration_set import CalibrationSet
from edgessd.core.errors import CalibrationError
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.recipe import FloatPasses


@pytest.fixture(scope="module")
def graph(tiny_bundles) -> FloatGraph:
    from edgessd.graph.float_graph import load_graph

    return load_graph(tiny_bundles["host-float"].engine_path)


class Counter:
    """A progress callback that knows how often the graph ran."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, done: int, total: int) -> None:
        self.images += 1


def collected(graph: FloatGraph, images: CalibrationSet, cache: Path | None) -> int:
    """Images that had to be run for a table."""
    counter = Counter()
    table = calibrate(graph, images, minimum=8, cache=cache, progress=counter)
    assert len(table.images) == len(images.paths)
    return counter.images


def test_a_table_is_made_once(graph: FloatGraph, photos: Path, tmp_path: Path) -> None:
    images = images_in(photos, limit=16)
    first = calibrate(graph, images, minimum=8, cache=tmp_path, progress=Counter())
    counter = Counter()
    again = calibrate(graph, images, minimum=8, cache=tmp_path, progress=counter)
    assert counter.images == 0
    assert again.images == first.images
    for name, statistics in first.tensors.items():
        assert (again[name].minimum, again[name].maximum) == (
            statistics.minimum,
            statistics.maximum,
        )
        np.testing.assert_array_equal(again[name].counts, statistics.counts)


def test_the_same_pictures_elsewhere_are_the_same(
    graph: FloatGraph, photos: Path, tmp_path: Path
) -> None:
    cache, moved = tmp_path / "cache", Path(shutil.copytree(photos, tmp_path / "moved"))
    assert collected(graph, images_in(photos, limit=16), cache) == 16
    assert collected(graph, images_in(moved, limit=16), cache) == 0


def test_another_picture_makes_another_table(
    graph: FloatGraph, photos: Path, tmp_path: Path
) -> None:
    cache, changed = tmp_path / "cache", Path(shutil.copytree(photos, tmp_path / "changed"))
    collected(graph, images_in(photos, limit=16), cache)
    shutil.copy(photos / "00.png", changed / "01.png")
    assert collected(graph, images_in(changed, limit=16), cache) == 16
    assert collected(graph, images_in(photos, limit=12), cache) == 12
    assert len(list(cache.glob("*.npz"))) == 3


def test_a_damaged_table_is_made_again(graph: FloatGraph, photos: Path, tmp_path: Path) -> None:
    images = images_in(photos, limit=16)
    collected(graph, images, tmp_path)
    (table,) = tmp_path.glob("*.npz")
    table.write_bytes(b"damaged")
    assert collected(graph, images, tmp_path) == 16
    assert collected(graph, images, tmp_path) == 0


def test_without_cache_nothing_is_kept(graph: FloatGraph, photos: Path) -> None:
    images = images_in(photos, limit=8)
    assert collected(graph, images, None) == 8
    assert collected(graph, images, None) == 8


def test_a_dataset_gives_the_images_it_trains_on(shared: Path) -> None:
    """A detector that was calibrated on its test images would be flattered by them."""
    chosen = images_in(shared / "data" / "bccd", limit=1000)
    names = (shared / "data" / "bccd" / "ImageSets" / "Main" / "train.txt").read_text().split()
    assert {path.stem for path in chosen.paths} == set(names)
    assert chosen.source.endswith("bccd, train")


@pytest.mark.parametrize("splits", [["train", "val"], ["trainval"]])
def test_a_run_is_calibrated_with_its_own_training_images(
    shared: Path, tmp_path: Path, splits: list[str]
) -> None:
    run = tmp_path / "runs" / "cells"
    run.mkdir(parents=True)
    dataset = shared / "data" / "bccd"
    (run / "config.toml").write_text(
        f'[data]\npath = "{dataset}"\ntrain_splits = {json.dumps(splits)}\n'
    )
    chosen = images_of_run(run / "best.pt", limit=1000)
    assert len(chosen.paths) == 205 + 87
    assert chosen.dataset is not None
    assert chosen.dataset.evaluation.keys() == {"test"}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "Nothing says which images"),
        ('[data]\npath = "moved/away"\n', "moved/away"),
        ("[data\n", "can't be read"),
        ("[model]\nwidth = 1.0\n", "isn't there"),
    ],
)
def test_a_run_without_its_dataset_asks_for_a_folder(
    tmp_path: Path, config: str | None, reason: str
) -> None:
    if config is not None:
        (tmp_path / "config.toml").write_text(config)
    with pytest.raises(CalibrationError, match=rf"{reason}.*--calibration DIR"):
        images_of_run(tmp_path / "best.pt", limit=10)


def test_a_graph_is_prepared_once(
    graph: FloatGraph, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = images_in(photos, limit=16)
    wanted = FloatPasses(equalize=True, balance_box_codes=True)
    first = prepare_for(graph, images, wanted, cache=tmp_path)
    assert first.sha256 != graph.sha256
    (kept,) = tmp_path.glob("*.onnx")
    with monkeypatch.context() as patched:
        patched.setattr("edgessd.build.calibration_images.apply_float_passes", None)
        again = prepare_for(graph, images, wanted, cache=tmp_path)
    assert (again.sha256, again.contract) == (first.sha256, first.contract)
    assert prepare_for(graph, images, FloatPasses(), cache=tmp_path) is graph
    prepare_for(graph, images, FloatPasses(equalize=True), cache=tmp_path)
    assert len(list(tmp_path.glob("*.onnx"))) == 2
    kept.write_bytes(b"half a file")
    assert prepare_for(graph, images, wanted, cache=tmp_path).sha256 == first.sha256
