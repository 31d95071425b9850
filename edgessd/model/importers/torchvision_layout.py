"""Read MobileNetV2's backbone from torchvision's layout: `features.<i>.conv.<j>…`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from edgessd.core.contract import Preprocess
from edgessd.model.backbones.mobilenet_v2 import STAGES
from edgessd.model.importers.layout import State, Unit, take_units, used_names

EPSILON = 1e-5  # nn.BatchNorm2d's default, which these networks were trained with
# Mean and std for pixels in 0..1 are those of
# https://pytorch.org/vision/stable/models/generated/torchvision.models.mobilenet_v2.html
# Width and height aren't used.
PREPROCESS = Preprocess(
    width=224,
    height=224,
    color="RGB",
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
)


def is_torchvision_backbone(source: Mapping[str, object]) -> bool:
    """True if a state dict has this layout."""
    return "features.0.0.weight" in source


def read_torchvision_backbone(
    source: Mapping[str, Tensor], path: Path
) -> tuple[State, tuple[str, ...]]:
    """Read the state of our MobileNetV2; return it with the names of the unused tensors."""
    units = _units()
    used = used_names(units.values())
    return take_units(source, units, path), tuple(name for name in source if name not in used)


def _units() -> dict[str, Unit]:
    units = {"stem": Unit("features.0.0", "features.0.1")}
    blocks = sum(repeats for _, _, repeats, _ in STAGES)
    for index in range(blocks):
        theirs = f"features.{index + 1}.conv"
        position = 0
        for part in ("expand", "depthwise") if index else ("depthwise",):
            units[f"blocks.{index}.{part}"] = Unit(
                f"{theirs}.{position}.0", f"{theirs}.{position}.1"
            )
            position += 1
        units[f"blocks.{index}.project"] = Unit(f"{theirs}.{position}", f"{theirs}.{position + 1}")
    units["last"] = Unit(f"features.{blocks + 1}.0", f"features.{blocks + 1}.1")
    return units
