"""JSON lines against their schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgessd.pipeline.events import Event, RegionState
from edgessd.pipeline.records import json_record
from edgessd.pipeline.result import Result
from edgessd.pipeline.sinks.json_lines import JsonLinesSink

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
    record = json_record(make_result(0, "person"))
    assert validator.is_valid(record)
    record[broken] = "seven"
    assert not validator.is_valid(record)
    del record[broken]
    assert not validator.is_valid(record)
