"""Counts of a run."""

from __future__ import annotations

from dataclasses import replace

from results import make_result

from edgessd.cli.run.tally import Tally, sentences
from edgessd.pipeline.events import RegionState

DOOR = RegionState(
    name="door", kind="line", points=(), inside={}, entered={"person": 2}, left={"person": 1}
)
HALL = RegionState(
    name="hall", kind="zone", points=(), inside={"car": 1}, entered={"car": 3}, left={"car": 2}
)


def test_detections_are_counted_over_all_frames() -> None:
    tally = Tally()
    tally.add(make_result(0, "person", "car"))
    tally.add(make_result(1, "person"))
    record = tally.record()
    assert record == {"detections": {"person": 2, "car": 1}, "objects": {}, "regions": []}
    assert sentences(record) == ["found 2 person, 1 car"]


def test_the_last_state_of_each_region_counts() -> None:
    tally = Tally()
    tally.add(make_result(0, regions=(replace(DOOR, entered={"person": 1}), HALL)))
    tally.add(make_result(1, regions=(DOOR, HALL)))
    assert sentences(tally.record()) == [
        "found nothing",
        "line door: in 2 person; out 1 person",
        "zone hall: inside 1 car; came 3 car; left 2 car",
    ]


def test_regions_of_several_streams_name_their_stream() -> None:
    tally = Tally()
    tally.add(make_result(0, regions=(DOOR,), stream=1))
    tally.add(make_result(0, regions=(HALL,), stream=0))
    assert [line.partition(":")[0] for line in sentences(tally.record())[1:]] == [
        "zone hall of stream 0",
        "line door of stream 1",
    ]
