"""metrics.csv and curves.png of a training."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2

from edgessd.train.metrics_log import COLUMNS, MetricsLog, rows_as_csv

ROW = {
    "epoch": 1.0,
    "step": 9.0,
    "lr": 0.0123456789,
    "loss": float("nan"),
    "class_loss": 2.5,
    "box_loss": 1.5,
}


def test_a_row_has_whole_numbers_six_digits_and_empty_cells() -> None:
    (row,) = csv.DictReader(rows_as_csv([ROW]).splitlines())
    assert tuple(row) == COLUMNS
    assert (row["epoch"], row["step"], row["lr"]) == ("1", "9", "0.0123457")
    assert (row["loss"], row["AP"]) == ("", "")


def test_a_resumed_log_keeps_the_earlier_rows(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, [ROW]) as log:
        log.add({**ROW, "epoch": 2.0, "step": 18.0, "AP": 0.25, "AP50": 0.5})
        curves = log.draw()
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [(row["epoch"], row["AP"]) for row in rows] == [("1", ""), ("2", "0.25")]
    assert curves == tmp_path / "curves.png"
    assert cv2.imread(str(curves)).std() > 1


def test_a_process_that_does_not_lead_writes_nothing(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, [], write=False) as log:
        log.add(ROW)
        assert log.draw() is None
    assert list(tmp_path.iterdir()) == []
