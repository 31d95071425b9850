"""Configuration of a detector's network, and the channels and sizes that follow from it.

This module doesn't import torch, so that a dataset can be checked against a detector's anchors on any
machine.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edgessd.core.errors import ConfigError

HeadKind = Literal["separable", "pointwise"]


class BatchNorm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Batch normalization after each convolution except the predictors.

    Attributes:
        epsilon: Constant that is added to the variance.
        momentum: Weight of the newest batch in the running statistics (torch's convention). SSDLite
            is trained with small batches, so the default averages over about 30 of them.
    """

    epsilon: float = 1e-3
    momentum: float = 0.03


class Extra(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Extra feature map: 1x1 to `squeeze` channels, depthwise 3x3 at stride 2, 1x1 to `channels`."""

    squeeze: int
    channels: int


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configuration of an SSDLite network. Input size, anchors and labels are in the `Contract`.

    Attributes:
        backbone: Feature extractor.
        width: Multiplier of the backbone's channels, 0.35 to 1.4 in section 6 of arXiv:1801.04381.
        channel_multiple: Channels are rounded to multiples of this number: 8 in the paper's code; 1
            cuts off the fraction, as some PyTorch projects do.
        padding: Zeros around a stride-2 convolution. `same`: 0 before and 1 after an even size, as in
            TensorFlow. `symmetric`: 1 before and 1 after, as in PyTorch.
        stride_8: Add a head at stride 8 for small objects, on the expansion of block 6.
        extras: Feature maps after the backbone's last one, each half the size of the previous one.
        extra_activation: Activation after an extra's last 1x1 convolution: `relu6` as in TensorFlow's
            detectors, or `none` for a linear bottleneck.
        heads: Kind of the head on each level. `separable` is depthwise 3x3, then 1x1 (section 6.2 of
            the paper); `pointwise` is 1x1 alone.
        batch_norm: Batch normalization; None if it is folded into the convolutions.
    """

    heads: tuple[HeadKind, ...]
    extras: tuple[Extra, ...]
    backbone: Literal["mobilenet_v2"] = "mobilenet_v2"
    width: float = 1.0
    channel_multiple: int = 8
    padding: Literal["same", "symmetric"] = "same"
    stride_8: bool = False
    extra_activation: Literal["relu6", "none"] = "relu6"
    batch_norm: BatchNorm | None = BatchNorm()

    def __post_init__(self) -> None:
        if not 0.1 <= self.width <= 2:
            raise ConfigError(
                "The width multiplier is out of range",
                expected="0.1 to 2 (0.35 to 1.4 are usual)",
                found=str(self.width),
            )
        if self.channel_multiple < 1:
            raise ConfigError(
                "The setting 'channel_multiple' is too small",
                expected="at least 1",
                found=f"{self.channel_multiple}",
            )
        if len(self.heads) != self.levels:
            raise ConfigError(
                "The heads don't fit the feature maps",
                expected=f"{self.levels} heads, one for each feature map",
                found=f"{len(self.heads)} heads",
            )

    @property
    def levels(self) -> int:
        """Number of feature maps with a head."""
        return 2 + int(self.stride_8) + len(self.extras)

    @property
    def first_stride(self) -> int:
        """Stride of the first head's feature map, in input pixels per cell."""
        return 8 if self.stride_8 else 16


def scaled_channels(channels: int, width: float, multiple: int = 8) -> int:
    """Multiply channels by a width and round to a multiple, at most 10% below the product.

    If `multiple` is 1, the fraction is cut off. Example: scaled_channels(24, 0.35) == 8.
    """
    product = channels * width
    if multiple == 1:
        return int(product)
    rounded = max(multiple, int(product + multiple / 2) // multiple * multiple)
    return rounded if rounded >= 0.9 * product else rounded + multiple


def last_channels(width: float, multiple: int = 8) -> int:
    """Channels of the backbone's last 1x1 convolution: 1280, and more for widths above 1."""
    return scaled_channels(1280, max(width, 1.0), multiple)


def halved(size: int) -> int:
    """Side of a feature map after a 3x3 convolution of stride 2; both paddings round up."""
    return (size + 1) // 2


def feature_sizes(config: ModelConfig, width: int, height: int) -> tuple[tuple[int, int], ...]:
    """(rows, columns) of each feature map with a head, for an input of width x height pixels."""
    rows, columns = height, width
    stride = 1
    sizes: list[tuple[int, int]] = []
    while len(sizes) < config.levels:
        rows, columns, stride = halved(rows), halved(columns), stride * 2
        if stride >= config.first_stride:
            sizes.append((rows, columns))
    return tuple(sizes)
