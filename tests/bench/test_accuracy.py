"""Accuracy of a predictor over image files."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from edgessd.bench.accuracy import evaluate
from edgessd.core.errors import DataError


def scenes(squares, folder: Path) -> list:
    return [
        squares.paint(folder / "0.png", (10, 10, 50, 50, 0), (80, 20, 140, 100, 1)),
        squares.paint(folder / "1.png", (20, 30, 120, 110, 0)),
        squares.paint(folder / "2.png"),
    ]


def test_a_detector_that_finds_all_objects(squares, tmp_path: Path) -> None:
    seen = []
    report = evaluate(
        squares.find_squares,
        scenes(squares, tmp_path),
        squares.LABELS,
        lambda done, total: seen.append((done, total)),
        data="squares",
        split="test",
    )
    assert report.metrics.AP == pytest.approx(1)
    assert report.voc.voc07_AP50 == pytest.approx(1)
    assert report.confusion.counts.tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert (report.images, report.boxes, report.skipped) == (3, 3, ())
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert report.describe() == (
        "COCO AP over 3 images and 3 boxes of squares (split test): score > 0.01, NMS at IoU 0.45 per "
        "class, 400 candidates a class."
    )


def test_the_record_is_json_with_the_settings_of_the_measurement(squares, tmp_path: Path) -> None:
    images = scenes(squares, tmp_path)
    labels = (*squares.LABELS, "blue")
    # 40 x 40 found as 50 x 40 is IoU .8, 100 wide found as 110 is .91, 60 as 70 is .86.
    report = evaluate(partial(squares.find_squares, grow=10, labels=labels), images, labels)
    record = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert record["images"] == 3
    assert record["AP50"] == pytest.approx(1)
    assert 0.7 < record["AP"] < 0.9
    assert record["voc10_AP50"] == pytest.approx(1)
    assert record["per_class"]["blue"] == {
        "AP": None,
        "AP50": None,
        "voc07_AP50": None,
        "voc10_AP50": None,
    }
    assert record["settings"]["score_threshold"] == 0.01
    assert {"AP75", "AP_small", "AR1", "AR_large"} <= record.keys()


def test_a_broken_image_is_named_and_left_out(squares, tmp_path: Path) -> None:
    images = scenes(squares, tmp_path)
    content = images[1].path.read_bytes()
    images[1].path.write_bytes(content[: len(content) // 2])
    report = evaluate(squares.find_squares, images, squares.LABELS)
    assert report.images == 2
    assert report.boxes == 2
    assert len(report.skipped) == 1
    assert "1.png" in report.skipped[0]
    assert report.metrics.AP == pytest.approx(1)


def test_no_image_at_all_is_refused(squares, tmp_path: Path) -> None:
    images = scenes(squares, tmp_path)
    for image in images:
        image.path.unlink()
    with pytest.raises(DataError, match="No image can be measured"):
        evaluate(squares.find_squares, images, squares.LABELS)


def test_plots_are_written(squares, tmp_path: Path) -> None:
    report = evaluate(squares.find_squares, scenes(squares, tmp_path), squares.LABELS)
    written = report.write_plots(tmp_path / "out" / "plots")
    assert [path.name for path in written] == ["pr_curves.png", "confusion.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
