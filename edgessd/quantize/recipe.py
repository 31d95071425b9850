"""`Recipe`: rules of quantization, as a data file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from edgessd.core.errors import ConfigError
from edgessd.core.resources import resource_directory
from edgessd.quantize.schemes import SchemeName

_RENAMED = {"centre_channels": "center_channels"}

RangeMethod = Literal["minmax", "average", "percentile", "mse", "entropy"]


class RangeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rule for a tensor's range.

    Attributes:
        method: `minmax` over all images; `average` of each image's minimum and maximum; `percentile`
            of the values; `mse`, the smallest mean squared error; `entropy`, the smallest
            Kullback-Leibler divergence.
        percentile: Percent of the values inside the range, for `percentile`.
        deviations: Standard deviations over the images to add on both sides, for `average`.
    """

    method: RangeMethod
    percentile: float = 99.99
    deviations: float = 0.0

    def __post_init__(self) -> None:
        if not 50 < self.percentile <= 100:
            raise ConfigError(
                "percentile is out of range",
                expected="over 50, up to 100",
                found=f"{self.percentile}",
            )
        if not 0 <= self.deviations <= 10:
            raise ConfigError(
                "deviations is out of range", expected="0 to 10", found=f"{self.deviations}"
            )


class Exemption(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tensors with a rule of their own.

    Attributes:
        tensors: Patterns of tensor names as in a shell, for example `heads.*.score.pointwise`.
        range: Rule for their range.
        keep_float: True leaves them unquantized. The affine scheme refuses it, because its engines are
            wholly integer.
        scheme: Scheme that the exemption belongs to; None for both.
    """

    tensors: tuple[str, ...]
    range: RangeRule | None = None
    keep_float: bool = False
    scheme: SchemeName | None = None

    def __post_init__(self) -> None:
        if (self.range is None) != self.keep_float:
            raise ConfigError(
                f"The exemption of {', '.join(self.tensors)} needs one rule",
                expected="either a range or keep_float = true",
                found="both" if self.keep_float else "neither",
            )


class FloatPasses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Switches of the float passes, in no order; `float_passes.apply.FLOAT_PASSES` is the order.

    Attributes:
        silence_background: Write 0 into a background column that sigmoid scoring never reads
            (`float_passes.silence_background`).
        shift_box_sizes: Give each anchor the shape that fits the range of its box codes
            (`float_passes.shift_box_sizes`).
        balance_box_codes: Let positions use the range that sizes need
            (`float_passes.balance_box_codes`).
        center_channels: Move each channel of a linear tensor to the middle of its range
            (`float_passes.center_channels`).
        equalize: Share each tensor's range among its channels (`float_passes.equalize`).
    """

    silence_background: bool = False
    shift_box_sizes: bool = False
    balance_box_codes: bool = False
    center_channels: bool = False
    equalize: bool = False


class ParityBound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Agreement of a built engine with its float graph, below which a build fails (`build.parity_gate`).

    Attributes:
        agreement: Smallest agreement AP. Over 24 images a sound engine reaches 0.9 to 0.99 and a broken one
            less than half of that. A barely trained detector, whose scores hardly differ, lies between.
        images: Number of calibration images to measure on, spread evenly over all of them.
        detections: Smallest number of detections by the float graph. With fewer, all calibration images
            are used; if these show too few as well, the bundle's verdict is `undecided`.
    """

    agreement: float = 0.7
    images: int = 24
    detections: int = 20

    def __post_init__(self) -> None:
        if not (0 <= self.agreement <= 1 and self.images >= 1 and self.detections >= 1):
            raise ConfigError(
                "The parity bound isn't usable",
                expected="agreement from 0 to 1, images and detections from 1",
                found=f"{self.agreement}, {self.images}, {self.detections}",
            )


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules of quantization: float passes, ranges, rounding, exemptions.

    Attributes:
        name: Name for reports and manifests.
        activations: Rule for the ranges of activations.
        tighten_ranges: True reduces ranges if that lowers the error of the outputs
            (`ranges.tighten_ranges`).
        weights: `minmax`, or `mse` to clip each channel if that lowers its squared error.
        float_passes: Rewrites of the float graph before calibration; its detections stay the same.
        rounding: Rounding of weights: to the `nearest` integer, or `learned` from the layer's inputs, so
            that errors cancel in its sums (`conv.round_weights`). Learned rounding needs `correct_bias`.
        correct_bias: True adds the mean error of rounded weights to the bias (`conv.correct_bias`).
        exemptions: Tensors with rules of their own; the last one that names a tensor wins.
        minimum_images: Smallest number of readable calibration images.
        parity: Smallest agreement of the engine with the float graph.
        description: Purpose of the recipe.
    """

    name: str
    activations: RangeRule
    tighten_ranges: bool = False
    weights: Literal["minmax", "mse"] = "minmax"
    float_passes: FloatPasses = FloatPasses()
    rounding: Literal["nearest", "learned"] = "nearest"
    correct_bias: bool = False
    exemptions: tuple[Exemption, ...] = ()
    minimum_images: int = 16
    parity: ParityBound = ParityBound()
    description: str = ""


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Load a recipe that ships with edgessd by its name, or any TOML file by its path.

    Raises:
        ConfigError: There is no such recipe, or it holds an unknown key or a wrong value.
    """
    path = _find(name_or_path)
    try:
        return msgspec.convert(
            with_current_keys(msgspec.toml.decode(path.read_bytes())), type=Recipe
        )
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"The recipe {path} can't be used", found=str(error)) from error


def with_current_keys(recipe: dict[str, Any]) -> dict[str, Any]:
    """Give the keys that earlier versions wrote their current names."""
    if "preparation" not in recipe or "float_passes" in recipe:
        return recipe
    old = recipe["preparation"]
    switches = {_RENAMED.get(key, key): value for key, value in old.items()}
    kept = {key: value for key, value in recipe.items() if key != "preparation"}
    return {**kept, "float_passes": switches}


def list_recipes() -> tuple[str, ...]:
    """Return the names of the recipes that ship with edgessd, sorted."""
    return tuple(sorted(path.stem for path in _directory().glob("*.toml")))


def _find(name_or_path: str | Path) -> Path:
    shipped = _directory() / f"{name_or_path}.toml"
    if isinstance(name_or_path, str) and name_or_path in list_recipes():
        return shipped
    path = Path(name_or_path)
    if path.suffix == ".toml" and path.is_file():
        return path
    raise ConfigError(
        f"There is no recipe {str(name_or_path)!r}",
        expected="a .toml file or one of " + ", ".join(list_recipes()),
    )


def _directory() -> Path:
    return resource_directory("calibration") / "recipes"


def without_minimum(recipe: Recipe) -> Recipe:
    """Return the recipe without its minimum of calibration images, for `build --force-small`."""
    return msgspec.structs.replace(recipe, minimum_images=1)
