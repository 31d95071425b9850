"""Recipes are data: those that ship load, and a mistake is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.core.errors import ConfigError
from edgessd.quantize.recipe import FloatPasses, list_recipes, load_recipe


def test_every_shipped_recipe_loads_under_its_own_name() -> None:
    names = list_recipes()
    assert {"default", "minmax", "average", "percentile", "mse", "entropy"} <= set(names)
    for name in names:
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.description
        assert recipe.minimum_images >= 16


def test_own_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nminimum_images = 4\n[activations]\nmethod = "percentile"\npercentile = 99.9\n'
        '[[exemptions]]\ntensors = ["heads.*"]\nkeep_float = true\n'
    )
    recipe = load_recipe(path)
    assert recipe.minimum_images == 4
    assert recipe.exemptions[0].tensors == ("heads.*",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nmethods = 1\n[activations]\nmethod = "mse"\n', "methods"),
        ('name = "x"\n[activations]\nmethod = "kl"\n', "kl"),
        ('name = "x"\n[activations]\nmethod = "mse"\npercentage = 99\n', "percentage"),
        ('name = "x"\n[activations]\nmethod = "percentile"\npercentile = 101\n', "percentile"),
        ('name = "x"\n[activations]\nmethod = "average"\ndeviations = -1\n', "deviations"),
        ('name = "x"\n', "activations"),
        (
            'name = "x"\n[activations]\nmethod = "mse"\n[[exemptions]]\ntensors = ["a"]\n',
            "keep_float",
        ),
        ('name = "x"\nrounding = "up"\n[activations]\nmethod = "mse"\n', "up"),
        (
            'name = "x"\n[activations]\nmethod = "mse"\n[float_passes]\nequal = true\n',
            "equal",
        ),
        ("name = ", "recipe"),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(path)


def test_unknown_name_lists_the_others() -> None:
    with pytest.raises(ConfigError, match="average"):
        load_recipe("nonsense")


def test_read_the_section_that_earlier_versions_called_preparation(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text(
        'name = "old"\n[activations]\nmethod = "mse"\n'
        "[preparation]\ncentre_channels = true\nequalize = true\n"
    )
    assert load_recipe(path).float_passes == FloatPasses(center_channels=True, equalize=True)
