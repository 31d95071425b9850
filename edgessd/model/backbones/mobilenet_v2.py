"""MobileNetV2 as a feature extractor (Sandler et al., 2018, arXiv:1801.04381, table 2)."""

from __future__ import annotations

import torch
from torch import nn

from edgessd.model.config import ModelConfig, last_channels, scaled_channels
from edgessd.model.layers import ConvUnit

STEM_CHANNELS = 32
# Expansion t, output channels c, repeats n, stride s of each stage, as in the paper's table 2.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# Blocks with a head on their expansion, which comes before their stride: "the first layer of SSDLite
# is attached to the expansion of layer 15" (section 6.2, counting the stem and Conv_1 of table 2 as
# layers). That is block 13 if the first bottleneck is block 0.
STRIDE_8_BLOCK = 6
STRIDE_16_BLOCK = 13


class InvertedResidual(nn.Module):
    """1x1 expansion → depthwise 3x3 → linear 1x1 projection, plus a skip if the shapes are equal.

    Section 3.3 and figure 3 of the paper. Block 0 has expansion 1 and therefore no `expand`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, stride: int, config: ModelConfig
    ) -> None:
        super().__init__()
        self.hidden_channels = in_channels * expansion
        self.has_skip = stride == 1 and in_channels == out_channels
        self.expand: nn.Module = nn.Identity()
        if expansion > 1:
            self.expand = ConvUnit(in_channels, self.hidden_channels, kernel=1, config=config)
        self.depthwise = ConvUnit(
            self.hidden_channels,
            self.hidden_channels,
            kernel=3,
            stride=stride,
            depthwise=True,
            config=config,
        )
        self.project = ConvUnit(
            self.hidden_channels, out_channels, kernel=1, activation=False, config=config
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.narrow(self.expand(x), x)

    def narrow(self, expanded: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Compute the block's output from expanded (B, t * C, H, W) and the block's input (B, C, H, W)."""
        projected: torch.Tensor = self.project(self.depthwise(expanded))
        return x + projected if self.has_skip else projected


class MobileNetV2(nn.Module):
    """The network of table 2 without its classifier.

    forward: image (B, 3, H, W) to feature maps, from fine to coarse:

    - with `stride_8`, the expansion of block 6 (B, 192, H/8, W/8);
    - the expansion of block 13 (B, 576, H/16, W/16);
    - the last 1x1 convolution (B, 1280, H/32, W/32).

    Channels are those of width 1.0; sizes are rounded up.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        multiple = config.channel_multiple
        channels = scaled_channels(STEM_CHANNELS, config.width, multiple)
        self.stem = ConvUnit(3, channels, kernel=3, stride=2, config=config)
        blocks = []
        for expansion, base, repeats, stage_stride in STAGES:
            out_channels = scaled_channels(base, config.width, multiple)
            for repeat in range(repeats):
                stride = stage_stride if repeat == 0 else 1
                blocks.append(InvertedResidual(channels, out_channels, expansion, stride, config))
                channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        last = last_channels(config.width, multiple)
        self.last = ConvUnit(channels, last, kernel=1, config=config)
        sources = ((STRIDE_8_BLOCK,) if config.stride_8 else ()) + (STRIDE_16_BLOCK,)
        self.source_blocks = frozenset(sources)
        self.out_channels = (*(blocks[source].hidden_channels for source in sources), last)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        features = []
        x = self.stem(image)
        for index, block in enumerate(self.blocks):
            assert isinstance(block, InvertedResidual)
            expanded = block.expand(x)
            if index in self.source_blocks:
                features.append(expanded)
            x = block.narrow(expanded, x)
        features.append(self.last(x))
        return features


def widths_that_fit(shapes: dict[str, tuple[int, ...]]) -> tuple[float, int] | None:
    """Find the (width, channel_multiple) that gives the stem and the blocks their output channels.

    Args:
        shapes: Weight shapes by this module's names: `stem.conv.weight` and, for all 17 blocks,
            `blocks.<i>.project.conv.weight`.

    Returns:
        None if no width from 0.1 to 2 fits.
    """
    wanted = [shapes["stem.conv.weight"][0]]
    blocks = sum(repeats for _, _, repeats, _ in STAGES)
    wanted += [shapes[f"blocks.{index}.project.conv.weight"][0] for index in range(blocks)]
    # The usual widths come first, because several widths may round to the same channels.
    usual = (1.0, 0.35, 0.5, 0.75, 1.3, 1.4)
    every = [hundredth / 100 for hundredth in range(10, 201)]
    for multiple in (8, 1):
        for width in (*usual, *every):
            if block_channels(width, multiple) == wanted:
                return width, multiple
    return None


def block_channels(width: float, multiple: int = 8) -> list[int]:
    """Output channels of the stem and of each of the 17 blocks."""
    channels = [scaled_channels(STEM_CHANNELS, width, multiple)]
    for _, base, repeats, _ in STAGES:
        channels += [scaled_channels(base, width, multiple)] * repeats
    return channels
