"""JSON lines against their schema, CSV for spreadsheets, and full disks and closed readers."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgessd.core.errors import SinkError
from edgessd.pipeline.events import Event, RegionState
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.csv_rows import COLUMNS, CsvSink
from edgessd.pipeline.sinks.json_lines import JsonLinesSink

pytestmark = pytest.mark.process

SCHEMA = Path(__file__).parents[3] / "edgessd/pipeline/record.schema.json"
Make = Callable[..., Result]


@pytest.fixture(scope="module")
def validator() -> Any:
    from jsonschema import Draft202012Validator

    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_a_line_follows_the_schema(
    tmp_path: Path, make_result: Make, crossed: Event, door: RegionState, validator: Any
) -> None:
    path = tmp_path / "deep/out.jsonl"
    sink = JsonLinesSink(str(path))
    sink.write(make_result(0))
    sink.write(
        make_result(7, "person", "car", track_ids=[3, -1], events=(crossed,), regions=(door,))
    )
    sink.close()
    sink.close()
    empty, full = (json.loads(line) for line in path.read_text().splitlines())
    for record in (empty, full):
        validator.validate(record)
    assert empty["detections"] == empty["events"] == empty["regions"] == []
    assert full == {
        "source": "film.mp4",
        "stream": 0,
        "frame": 7,
        "timestamp": 0.7,
        "delay_ms": 12.5,
        "width": 96,
        "height": 64,
        "detections": [
            {"label": "person", "score": 0.9, "box": [10, 10, 40, 50], "track_id": 3},
            {"label": "car", "score": 0.5, "box": [10, 10, 40, 50], "track_id": None},
        ],
        "events": [
            {
                "kind": "line_crossed",
                "region": "door",
                "direction": "in",
                "label": "person",
                "track_id": 3,
                "score": 0.875,
                "box": [1, 2, 3, 4],
                "timestamp": 1.5,
                "stream": 0,
            }
        ],
        "regions": [
            {
                "name": "door",
                "kind": "line",
                "inside": {},
                "entered": {"person": 2},
                "left": {"person": 1},
            }
        ],
    }


@pytest.mark.parametrize("broken", ["frame", "detections", "delay_ms"])
def test_the_schema_refuses_an_invalid_record(
    make_result: Make, validator: Any, broken: str
) -> None:
    from edgessd.pipeline.records import json_record

    record = json_record(make_result(0, "person"))
    assert validator.is_valid(record)
    record[broken] = "seven"
    assert not validator.is_valid(record)
    del record[broken]
    assert not validator.is_valid(record)


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


@pytest.mark.parametrize("kind", [JsonLinesSink, CsvSink])
def test_a_full_disk_ends_the_sink_with_its_reason(kind: Any, make_result: Make) -> None:
    with pytest.raises(SinkError, match="No space left") as refused:  # noqa: PT012
        sink = kind("/dev/full")
        for index in range(3):
            sink.write(make_result(index, "person"))
    assert "/dev/full" in str(refused.value)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="JSON lines can't be written"):
        JsonLinesSink(str(tmp_path / "file/out.jsonl"))


@pytest.mark.parametrize(
    ("on_closed", "message"),
    [
        ("lambda: closed.append(True)", "ended 1"),
        ("None", "The reader of stdout has gone 0"),
    ],
)
def test_a_reader_of_stdout_that_leaves_ends_the_run(on_closed: str, message: str) -> None:
    program = """
import sys
from edgessd.core.detections import Detections
from edgessd.core.errors import SinkError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.meter import StageSeconds
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.json_lines import JsonLinesSink
import numpy as np
closed = []
sink = JsonLinesSink("-", on_closed=ON_CLOSED)
image = np.zeros((9, 9, 3), np.uint8)
seconds = StageSeconds(preprocess=0, infer=0, postprocess=0)
try:
    for index in range(3000):
        frame = Frame(image=image, source="x", index=index, timestamp=0, captured_at=0)
        sink.write(Result(frame=frame, detections=Detections.empty(("a",)), seconds=seconds, delay=0))
    print("ended", len(closed), file=sys.stderr)
except SinkError as error:
    print(error.problem, len(closed), file=sys.stderr)
""".replace("ON_CLOSED", on_closed)
    done = subprocess.run(
        f"{sys.executable} -c '{program}' | head -2",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.strip() == message
