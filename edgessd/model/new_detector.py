"""Make the standard SSDLite detector for new labels. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from edgessd.core.anchors import AnchorSpec, ssd_levels
from edgessd.core.contract import Contract, Preprocess, Scoring
from edgessd.core.errors import ConfigError
from edgessd.model.config import (
    Extra,
    HeadKind,
    ModelConfig,
    feature_sizes,
    halved,
    scaled_channels,
)

MAX_LEVELS = 6
# Squeeze and output channels of the extra feature maps at width 1.0, as in the paper's code and the
# detectors trained with it.
_EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))


def new_detector(
    labels: Sequence[str],
    *,
    width: float = 1.0,
    input_size: tuple[int, int] = (300, 300),
    scoring: Literal["softmax", "sigmoid"] = "softmax",
    resize: Literal["stretch", "letterbox"] = "stretch",
    padding: Literal["same", "symmetric"] = "same",
    min_scale: float = 0.2,
    max_scale: float = 0.95,
    scales: Sequence[float] | None = None,
    stride_8: bool = False,
    first_anchors: Literal[3, 6] = 3,
) -> tuple[ModelConfig, Contract]:
    """Make a network configuration and its contract.

    The network has up to six feature maps, and fewer if the input is so small that a map has one cell
    earlier. Anchors follow section 2.2 of the SSD paper: one scale per level, evenly spaced from
    `min_scale` to `max_scale`, ratios 1, 2, 1/2, 3, 1/3 and one larger square; three shapes on the
    first level.

    Args:
        labels: Names of the classes, without background.
        width: Multiplier of the channels of the backbone and of the extra feature maps.
        input_size: (width, height) in pixels.
        scoring: `softmax` adds a background column; `sigmoid` scores each class independently.
        resize: `stretch` images to the input, or `letterbox` them.
        padding: Padding of the stride-2 convolutions; see `ModelConfig`.
        min_scale: Side of the smallest square anchor, a fraction of the input. Small objects need
            small anchors: about 0.08 for an object of 40 pixels in 640.
        max_scale: Side of the square anchor on the last level, a fraction of the input.
        scales: Scale of each level, instead of even spacing.
        stride_8: Add a first head at stride 8, for small and crowded objects.
        first_anchors: Anchors per cell on the first level: 3 as in SSDLite, or 6 as on other levels.

    Raises:
        ConfigError: The input is too small, or the scales don't fit the levels.
    """
    levels = _level_count(input_size, stride_8)
    extras = tuple(
        Extra(squeeze=scaled_channels(squeeze, width), channels=scaled_channels(channels, width))
        for squeeze, channels in _EXTRAS[: levels - 2 - int(stride_8)]
    )
    heads: tuple[HeadKind, ...] = tuple("separable" for _ in range(levels))
    config = ModelConfig(
        width=width,
        padding=padding,
        stride_8=stride_8,
        extras=extras,
        heads=heads,
    )
    if scales is None:
        scales = evenly_spaced(min_scale, max_scale, levels)
    if len(scales) != levels or sorted(scales) != list(scales) or not 0 < scales[0] <= 1:
        raise ConfigError(
            "The anchor scales don't fit the detector",
            expected=f"{levels} rising scales above 0 for an input of {input_size[0]}x{input_size[1]}",
            found=", ".join(f"{scale:g}" for scale in scales),
        )
    anchors = ssd_levels(
        grids=feature_sizes(config, *input_size),
        scales=[*scales, max(1.0, scales[-1])],
        ratios=[(2.0,) if first_anchors == 3 else (2.0, 3.0)] + [(2.0, 3.0)] * (levels - 1),
        skip_extra_on_first=first_anchors == 3,
    )
    contract = Contract(
        preprocess=Preprocess(width=input_size[0], height=input_size[1], resize=resize),
        anchors=AnchorSpec(levels=anchors),
        labels=tuple(labels),
        scoring=Scoring(activation=scoring, background=scoring == "softmax"),
    )
    return config, contract


def evenly_spaced(first: float, last: float, count: int) -> list[float]:
    """Evenly spaced anchor scales from `first` to `last` (equation 4 of the SSD paper)."""
    if count == 1:
        return [first]
    return [first + (last - first) * index / (count - 1) for index in range(count)]


def _level_count(input_size: tuple[int, int], stride_8: bool) -> int:
    width, height = input_size
    if min(width, height) < 32:
        raise ConfigError(
            "The input is too small for this network",
            expected="width and height of at least 32 pixels",
            found=f"{width}x{height}",
        )
    for _ in range(5):
        width, height = halved(width), halved(height)
    levels = 2 + int(stride_8)
    while levels < MAX_LEVELS and max(width, height) > 1:
        width, height = halved(width), halved(height)
        levels += 1
    return levels
