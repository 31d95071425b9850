"""CSV rows for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.csv_rows import COLUMNS, CsvSink

Make = Callable[..., Result]


def test_csv_has_a_row_per_detection(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "out.csv"
    sink = CsvSink(str(path))
    sink.write(make_result(0))
    sink.write(make_result(1, "person", "car", track_ids=[3, -1]))
    sink.close()
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["frame"], row["label"], row["track_id"]) for row in rows] == [
        ("1", "person", "3"),
        ("1", "car", ""),
    ]
    assert [float(rows[0][key]) for key in ("x1", "y1", "x2", "y2")] == [10, 10, 40, 50]
