"""Extra feature maps and prediction heads of SSDLite (section 6.2 of arXiv:1801.04381)."""

from __future__ import annotations

import torch
from torch import nn

from edgessd.model.config import Extra, HeadKind, ModelConfig
from edgessd.model.layers import ConvUnit


class ExtraBlock(nn.Module):
    """Extra feature map of half the size: 1x1 → depthwise 3x3 at stride 2 → 1x1.

    Shapes: (B, in_channels, H, W) → (B, extra.channels, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, in_channels: int, extra: Extra, config: ModelConfig) -> None:
        super().__init__()
        self.squeeze = ConvUnit(in_channels, extra.squeeze, kernel=1, config=config)
        self.depthwise = ConvUnit(
            extra.squeeze, extra.squeeze, kernel=3, stride=2, depthwise=True, config=config
        )
        self.expand = ConvUnit(
            extra.squeeze,
            extra.channels,
            kernel=1,
            activation=config.extra_activation == "relu6",
            config=config,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        expanded: torch.Tensor = self.expand(self.depthwise(self.squeeze(x)))
        return expanded


class Predictor(nn.Module):
    """Predict `values` numbers for each anchor of each cell.

    "We replace all the regular convolutions with separable convolutions in SSD prediction layers."
    A `pointwise` predictor has no depthwise convolution.

    Shapes: (B, in_channels, H, W) → (B, H * W * anchors, values).
    """

    def __init__(
        self, in_channels: int, anchors: int, values: int, kind: HeadKind, config: ModelConfig
    ) -> None:
        super().__init__()
        self.values = values
        self.depthwise: nn.Module = nn.Identity()
        if kind == "separable":
            self.depthwise = ConvUnit(
                in_channels, in_channels, kernel=3, depthwise=True, config=config
            )
        self.pointwise = nn.Conv2d(in_channels, anchors * values, 1)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = self.pointwise(self.depthwise(feature))
        # (B, K * V, H, W) → (B, H, W, K * V) → (B, H * W * K, V): cells row-major, then anchors.
        return x.permute(0, 2, 3, 1).reshape(int(x.shape[0]), -1, self.values)


class PredictionHead(nn.Module):
    """Predict box codes and class scores of one feature map with K anchors per cell.

    Shapes: (B, in_channels, H, W) → (B, H * W * K, 4) and (B, H * W * K, columns).
    """

    def __init__(
        self, in_channels: int, anchors: int, columns: int, kind: HeadKind, config: ModelConfig
    ) -> None:
        super().__init__()
        self.box = Predictor(in_channels, anchors, 4, kind, config)
        self.score = Predictor(in_channels, anchors, columns, kind, config)

    def forward(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.box(feature), self.score(feature)
