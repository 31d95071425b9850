"""TOML examples of the documents: each is accepted by the code that reads such files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from documents import Example, examples

from edgessd.pipeline.regions import parse_regions
from edgessd.quantize.recipe import Recipe, load_recipe
from edgessd.target.load import read_target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def one(document: str) -> Example:
    (example,) = [shown for shown in examples("toml") if shown.document == document]
    return example


def parsed(example: Example) -> dict[str, Any]:
    return tomllib.loads(example.code)


@pytest.mark.parametrize("example", examples("toml"), ids=str)
def test_example_is_toml(example: Example) -> None:
    assert parsed(example)


def test_target_of_the_contributing_guide_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rock-5.toml"
    path.write_text(one("CONTRIBUTING.md").code)
    assert read_target(path).engine == read_target_of_a_pi().engine


def read_target_of_a_pi() -> Any:
    from edgessd.target.load import load_target

    return load_target("raspberry-pi")


def test_parity_settings_of_the_guide_are_the_defaults() -> None:
    shown = parsed(one("docs/quantization.md"))["parity"]
    recipe = msgspec.convert(
        {"name": "shown", "activations": {"method": "minmax"}, "parity": shown}, Recipe
    )
    assert recipe.parity == load_recipe("default").parity


def test_regions_of_the_guide_are_read() -> None:
    regions = parse_regions(parsed(one("docs/sinks.md")))
    assert [region.name for region in regions.all] == ["door", "table"]
