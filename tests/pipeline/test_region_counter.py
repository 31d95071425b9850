"""Counts of lines and zones, in the documented direction."""

from __future__ import annotations

from typing import Any

import pytest

from edgessd.pipeline.region_counter import LineCounter, ZoneCounter
from edgessd.pipeline.regions import LineSpec, ZoneSpec


def at(x: float, y: float) -> tuple[float, float, float, float]:
    """Return a box whose lower edge has its middle at a point."""
    return x - 10, y - 40, x + 10, y


def walk(counter: LineCounter | ZoneCounter, points: Any, *steps: tuple[float, float]) -> list[Any]:
    return [
        (crossing.kind, crossing.direction)
        for step in steps
        for crossing in counter.see(1, "person", at(*step), points, 5)
    ]


@pytest.fixture
def line() -> LineCounter:
    return LineCounter(LineSpec(name="door", start=(0.5, 1.0), end=(0.5, 0.0)))


UP = ((100.0, 200.0), (100.0, 0.0))
ZONE = ((50.0, 50.0), (150.0, 50.0), (150.0, 150.0), (50.0, 150.0))


def test_in_is_from_left_to_right_seen_along_the_line(
    line: LineCounter,
) -> None:
    # Seen up the picture, right is at larger x.
    assert walk(line, UP, (80, 100), (120, 100)) == [("line_crossed", "in")]
    assert walk(line, UP, (80, 100)) == [("line_crossed", "out")]
    # Seen to the right along a horizontal line, right is below, at larger y.
    across = ((0.0, 100.0), (200.0, 100.0))
    other = LineCounter(LineSpec(name="b", start=(0, 0), end=(1, 1)))
    assert walk(other, across, (50, 80), (50, 120)) == [("line_crossed", "in")]
    state = line.state(UP)
    assert (state.entered, state.left, state.inside) == ({"person": 1}, {"person": 1}, {})


def test_an_object_that_trembles_on_the_line_counts_once(line: LineCounter) -> None:
    steps = [(90, 100), (98, 100), (103, 100), (97, 100), (104, 100), (96, 100), (107, 100)]
    assert walk(line, UP, *steps) == [("line_crossed", "in")]


def test_an_object_that_turns_back_on_the_line_has_not_crossed(line: LineCounter) -> None:
    assert walk(line, UP, (90, 100), (102, 100), (90, 100)) == []


def test_an_object_that_passes_beyond_the_end_has_not_crossed(line: LineCounter) -> None:
    assert walk(line, UP, (80, 190), (80, 230), (120, 230), (120, 190)) == []
    assert walk(line, UP, (120, 190), (80, 190)) == [("line_crossed", "out")]


def test_a_fast_object_counts_even_if_no_frame_shows_it_near_the_line(line: LineCounter) -> None:
    assert walk(line, UP, (-300, 20), (500, 180)) == [("line_crossed", "in")]


def test_other_classes_are_not_counted() -> None:
    counter = LineCounter(LineSpec(name="d", start=(0, 1), end=(0, 0), classes=("car",)))
    assert walk(counter, UP, (80, 100), (120, 100)) == []
    assert counter.state(UP).entered == {}


@pytest.mark.parametrize(("where", "crosses"), [("bottom", True), ("center", True), ("top", False)])
def test_the_chosen_point_of_the_box_counts(where: Any, crosses: bool) -> None:
    across = ((0.0, 100.0), (200.0, 100.0))
    counter = LineCounter(LineSpec(name="d", start=(0, 0), end=(1, 0), point=where))
    assert bool(walk(counter, across, (50, 90), (50, 130))) == crosses


def test_inside_equals_entered_minus_left() -> None:
    zone = ZoneCounter(ZoneSpec(name="z", points=()))
    assert walk(zone, ZONE, (20, 100), (100, 100)) == [("zone_entered", None)]
    assert zone.state(ZONE).inside == {"person": 1}
    assert walk(zone, ZONE, (148, 100), (152, 100), (148, 100)) == []
    assert walk(zone, ZONE, (170, 100)) == [("zone_left", None)]
    assert (zone.state(ZONE).inside, zone.state(ZONE).left) == ({}, {"person": 1})


def test_an_object_gone_inside_a_zone_leaves_with_the_label_of_its_entry() -> None:
    zone = ZoneCounter(ZoneSpec(name="z", points=(), classes=("car",)))
    zone.see(7, "car", at(100, 100), ZONE, 5)
    # Classified as a truck from now on, it is still the car that entered.
    assert zone.see(7, "truck", at(100, 110), ZONE, 5) == []
    (left,) = zone.forget(7)
    assert (left.kind, left.label) == ("zone_left", "car")
    state = zone.state(ZONE)
    assert state.inside == {}
    assert state.entered == state.left == {"car": 1}
    assert zone.forget(7) == []


def test_a_zone_may_be_concave() -> None:
    hook = ((0.0, 0.0), (200.0, 0.0), (200.0, 50.0), (50.0, 50.0), (50.0, 200.0), (0.0, 200.0))
    zone = ZoneCounter(ZoneSpec(name="z", points=()))
    assert walk(zone, hook, (120, 120)) == []
    assert walk(zone, hook, (120, 25)) == [("zone_entered", None)]
