"""Calibration images that are too alike, too few, unlike the training, or part of the evaluation."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgessd.bundle.quality import CalibrationAudit
from edgessd.calibrate.audit import (
    audit_calibration,
    leaked_images,
    range_shifts,
)
from edgessd.calibrate.calibration_set import CalibrationSet, KnownDataset
from edgessd.calibrate.collect import collect
from edgessd.calibrate.table import CalibrationTable
from edgessd.core.errors import CalibrationError
from edgessd.graph.float_graph import FloatGraph
from edgessd.quantize.float_passes.apply import as_quantizable


@pytest.fixture(scope="module")
def images(photos: Path) -> list[Path]:
    return sorted(photos.iterdir())


@pytest.fixture(scope="module")
def table(small_graph: FloatGraph, images: list[Path]) -> CalibrationTable:
    return collect(small_graph, CalibrationSet(images))


def audit(
    table: CalibrationTable, images: list[Path], dataset=None, saturation=None, minimum=1
) -> CalibrationAudit:
    return audit_calibration(
        table,
        CalibrationSet(images, dataset=dataset),
        saturation=saturation or {},
        minimum=minimum,
        labels=("cat", "dog", "cow", "unicorn"),
    )


def known(evaluation: list[Path], calibrated=None) -> KnownDataset:
    trained = {"cat": 9, "dog": 2, "cow": 0}
    return KnownDataset(
        name="pets",
        trained=trained,
        calibrated=trained if calibrated is None else calibrated,
        evaluation={"val": tuple(evaluation[:1]), "test": tuple(evaluation[1:])},
    )


def test_sixteen_different_photos_are_few_and_nothing_else(table, images) -> None:
    found = audit(table, images)
    assert (found.images, found.distinct, found.unreadable, found.leaked) == (16, 16, 0, 0)
    assert found.compared_with == ""
    assert any("Only 16 different" in warning for warning in found.warnings)
    assert not any("copies" in warning for warning in found.warnings)


def test_copies_count_once_whatever_their_bytes(table, images, tmp_path: Path) -> None:
    shutil.copy(images[0], tmp_path / "same.png")
    picture = cv2.imread(str(images[1]))
    cv2.imwrite(str(tmp_path / "again.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    (tmp_path / "broken.jpg").write_bytes(b"none")
    found = audit(table, [*images[:4], *sorted(tmp_path.iterdir())])
    assert (found.images, found.distinct, found.unreadable) == (6, 4, 1)
    assert any("2 of 6 calibration images are copies" in warning for warning in found.warnings)


def test_one_photo_many_times_is_refused(table, images, tmp_path: Path) -> None:
    copies = [tmp_path / f"{number}.png" for number in range(20)]
    for path in copies:
        shutil.copy(images[0], path)
    with pytest.raises(CalibrationError, match=r"at least 16 different.*1 different ones among 20"):
        audit(table, copies, minimum=16)
    assert audit(table, copies, minimum=1).distinct == 1  # for someone who knows better


def test_images_of_the_evaluation_are_named(table, images, tmp_path: Path) -> None:
    exam = [tmp_path / "exam0.png", tmp_path / "exam1.png"]
    shutil.copy(images[3], exam[0])
    # Of the same size as a calibration image, yet another file.
    content = bytearray(images[4].read_bytes())
    content[-1] ^= 1
    exam[1].write_bytes(content)
    assert leaked_images(CalibrationSet(images, dataset=known(exam))) == (images[3],)
    found = audit(table, images, known(exam))
    assert (found.leaked, found.compared_with) == (1, "pets, val + test")
    assert any("1 calibration images belong to pets" in warning for warning in found.warnings)


def test_mostly_images_of_the_evaluation_is_refused(table, images) -> None:
    with pytest.raises(CalibrationError, match=r"aren't in pets, val \+ test.*9 of 16 that are"):
        audit(table, images, known(images[:9]))
    assert audit(table, images, known(images[:8])).leaked == 8


def test_a_trained_class_without_an_image_is_named(table, images) -> None:
    found = audit(table, images, known([], calibrated={"cat": 3, "dog": 0, "cow": 0}))
    assert found.classes_unseen == ("dog",)
    assert any(
        "No calibration image shows dog, which the training images show" in warning
        for warning in found.warnings
    )


def test_half_of_the_images_is_compared_with_all(table: CalibrationTable, images) -> None:
    shifts = range_shifts(table)
    assert shifts.keys() == table.tensors.keys()
    assert all(0 <= shift < 1 for shift in shifts.values())
    name = "backbone.stem.activation"
    whole = table[name]
    # Every second image by name, gathered again on its own.
    assert table.halves[name][1] != whole.mean_maximum
    still = replace(
        table,
        halves={n: (s.mean_minimum, s.mean_maximum) for n, s in table.tensors.items()},
    )
    assert set(range_shifts(still).values()) == {0.0}
    width = whole.mean_maximum - whole.mean_minimum
    moved = replace(still, halves={name: (whole.mean_minimum, whole.mean_maximum + width / 4)})
    assert range_shifts(moved) == {name: pytest.approx(0.25)}
    found = audit(moved, images)
    assert (found.worst_range_shift, found.worst_range_shift_tensor) == (0.25, name)
    assert any("still move by 25.0%" in warning for warning in found.warnings)


def test_halves_are_every_second_image_and_survive_the_file(
    small_graph: FloatGraph, table: CalibrationTable, images, tmp_path: Path
) -> None:
    half = collect(small_graph, CalibrationSet(images[::2]), minimum=1)
    for name, (low, high) in table.halves.items():
        assert low == pytest.approx(half[name].mean_minimum, abs=1e-6)
        assert high == pytest.approx(half[name].mean_maximum, abs=1e-6)
    table.save(tmp_path / "table.npz")
    assert CalibrationTable.load(tmp_path / "table.npz").halves == table.halves


def test_saturation_beyond_a_percent_is_a_warning(table, images) -> None:
    found = audit(table, images, saturation={"a": 0.001, "b": 0.02})
    assert (found.worst_saturation, found.worst_saturation_tensor) == (0.02, "b")
    assert any("2.0% of the values of b" in warning for warning in found.warnings)
    quiet = audit(table, images, saturation={"a": 0.001})
    assert not any("beyond its range" in warning for warning in quiet.warnings)


def test_saturation_is_read_off_the_quantized_graph(
    small_graph: FloatGraph, table: CalibrationTable
) -> None:
    from edgessd.quantize.analysis.saturation import saturation
    from edgessd.quantize.ptq import quantize
    from edgessd.quantize.recipe import RangeRule, Recipe

    def worst(rule: RangeRule) -> float:
        recipe = Recipe(name="test", activations=rule)
        graph = quantize(as_quantizable(small_graph), table, scheme="affine", recipe=recipe)
        shares = saturation(graph.model, table)
        assert "class_scores" not in shares
        assert len(shares) > 50
        return float(np.mean(list(shares.values())))

    assert worst(RangeRule(method="minmax")) < 0.001
    assert 0.02 < worst(RangeRule(method="percentile", percentile=95)) < 0.08
