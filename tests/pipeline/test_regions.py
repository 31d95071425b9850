"""Regions files, which are read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgessd.core.errors import ConfigError
from edgessd.pipeline.regions import LineSpec, Regions, parse_regions, read_regions

DOOR: dict[str, Any] = {"name": "door", "from": [0.5, 1.0], "to": [0.5, 0.0]}
SQUARE = [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]


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


def test_a_region_may_belong_to_one_stream() -> None:
    regions = Regions(line=(LineSpec(name="a", start=(0, 0), end=(1, 1), stream=1),))
    assert regions.all[0].stream == 1
