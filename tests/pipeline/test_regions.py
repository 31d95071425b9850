"""Regions files are read strictly; lines and zones count once, in the documented direction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgessd.core.errors import ConfigError
from edgessd.pipeline.region_counter import LineCounter, ZoneCounter
from edgessd.pipeline.regions import LineSpec, Regions, ZoneSpec, parse_regions, read_regions

DOOR: dict[str, Any] = {"name": "door", "from": [0.5, 1.0], "to": [0.5, 0.0]}
SQUARE = [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]


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


def test_fractions_become_pixels_of_the_frame(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        '[tracking]\nlost_seconds = 5\n[[line]]\nname = "door"\nfrom = [0.5, 1]\nto = [0.5, 0]\n'
        'classes = ["person"]\n[[zone]]\nname = "bench"\npoints = [[0, 0], [1, 0], [1, 0.5]]\n'
    )
    regions = read_regions(path)
    assert regions.tracking.lost_seconds == 5
    door, bench = regions.all
    assert regions.pixels(door, 640, 480) == ((320, 480), (320, 0))
    assert regions.pixels(bench, 640, 480) == ((0, 0), (640, 0), (640, 240))


def test_pixels_are_kept() -> None:
    regions = parse_regions(
        {"units": "pixels", "line": [{"name": "a", "from": [10, 20], "to": [30, 40]}]}
    )
    assert regions.pixels(regions.all[0], 1920, 1080) == ((10, 20), (30, 40))


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({}, "neither a line nor a zone"),
        ({"line": [{**DOOR, "shade": 1}]}, "shade"),
        ({"line": [DOOR, DOOR]}, "name of its own"),
        ({"line": [{**DOOR, "from": [320, 240]}]}, 'units = "pixels"'),
        ({"line": [{**DOOR, "to": [0.5, 1.0]}]}, "no extent"),
        ({"zone": [{"name": "z", "points": [[0, 0], [1, 1]]}]}, "at least 3"),
        ({"zone": [{"name": "z", "points": [[0, 0], [0.5, 0.5], [1, 1]]}]}, "no area"),
        ({"line": [DOOR], "margin": 2}, "margin"),
        ({"line": [DOOR], "tracking": {"start_score": 7}}, "start_score"),
        ({"line": [{**DOOR, "point": "middle"}]}, "middle"),
        ({"units": "inches", "line": [DOOR]}, "inches"),
    ],
)
def test_an_invalid_file_is_refused_with_the_faulty_key(
    table: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    import tomli_w

    path = tmp_path / "r.toml"
    path.write_text(tomli_w.dumps(table))
    with pytest.raises(ConfigError) as refused:
        read_regions(path)
    assert problem in refused.value.paragraph()
    assert "r.toml" in refused.value.paragraph()


def test_a_missing_file_and_one_that_is_no_toml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml can't be read"):
        read_regions(tmp_path / "absent.toml")
    (tmp_path / "r.toml").write_text("[[line]\n")
    with pytest.raises(ConfigError, match=r"r\.toml can't be used"):
        read_regions(tmp_path / "r.toml")


def test_a_class_that_the_detector_lacks_is_refused() -> None:
    regions = parse_regions({"line": [{**DOOR, "classes": ["person", "perso"]}]})
    regions.require_labels(("person", "perso"))
    with pytest.raises(ConfigError, match=r"'door'.*perso"):
        regions.require_labels(("person", "car"))


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


def test_a_region_may_belong_to_one_stream() -> None:
    regions = Regions(line=(LineSpec(name="a", start=(0, 0), end=(1, 1), stream=1),))
    assert regions.all[0].stream == 1
