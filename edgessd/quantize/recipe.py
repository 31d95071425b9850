"""`Recipe`: how statistics become ranges, as a data file."""

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
    """How a tensor's range is chosen.

    Attributes:
        method: `minmax` over all images; `average` of each image's minimum and maximum; `percentile`
            of the values; `mse`, the smallest mean squared error; `entropy`, the smallest
            Kullback-Leibler divergence.
        percentile: For `percentile`: share of values inside the range, in percent.
        deviations: For `average`: standard deviations over the images added on both sides.
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
    """Tensors that are treated in another way.

    Attributes:
        tensors: Patterns of tensor names, as in a shell: `heads.*.score.pointwise`.
        range: Another rule for their range.
        keep_float: Leave them unquantized. Engines of the affine scheme are wholly integer, so it is
            refused there.
        scheme: Only where a graph is quantized in this scheme; None for any.
    """

    tensors: tuple[str, ...]
    range: RangeRule | None = None
    keep_float: bool = False
    scheme: SchemeName | None = None

    def __post_init__(self) -> None:
        if (self.range is None) != self.keep_float:
            raise ConfigError(
                f"The exemption of {', '.join(self.tensors)} doesn't say one thing",
                expected="either a range or keep_float = true",
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
    """How closely a built engine must follow its float graph (`build.parity_gate`).

    Attributes:
        agreement: Least agreement AP; a build below it fails. Over so few images a sound engine reaches
            0.9 to 0.99, one that has collapsed less than half of that; a barely trained detector, whose
            scores hardly differ, lies between.
        images: Calibration images it is measured on, spread evenly over them.
        detections: With fewer of them by the float graph, all calibration images are taken; where that
            isn't enough either, nothing can be said, and the bundle says so.
    """

    agreement: float = 0.7
    images: int = 24
    detections: int = 20

    def __post_init__(self) -> None:
        if not (0 <= self.agreement <= 1 and self.images >= 1 and self.detections >= 1):
            raise ConfigError(
                "The parity bound can't be held",
                expected="agreement from 0 to 1, images and detections from 1",
                found=f"{self.agreement}, {self.images}, {self.detections}",
            )


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way to quantize.

    Attributes:
        name: Of the recipe, for reports and manifests.
        activations: Rule for activation ranges.
        tighten_ranges: Make ranges smaller where that serves the network's answers
            (`ranges.tighten_ranges`).
        weights: `minmax`, or `mse` to clip each channel where that lowers its squared error.
        float_passes: Rewrites of the float graph before calibration; its outputs stay the same.
        rounding: Of weights: to the `nearest` integer, or `learned` from what the layer is fed, so
            that errors cancel in its sums (`conv.round_weights`). It wants `correct_bias` too.
        correct_bias: Give the mean error of rounded weights to the bias (`conv.correct_bias`).
        exemptions: Later ones win.
        minimum_images: Fewer readable calibration images are refused.
        parity: What the engine must keep of the float graph.
        description: What it is good for.
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
    """A recipe that ships with edgessd by its name, or any TOML file by its path.

    Raises:
        ConfigError: There is none, or it holds an unknown key or a wrong value.
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
    """Names of the recipes that ship with edgessd."""
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
