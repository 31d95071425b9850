"""The SSDLite network: backbone → extra feature maps → a prediction head on each map."""

from __future__ import annotations

import torch
from torch import nn

from edgessd.core.contract import Contract
from edgessd.core.errors import ConfigError
from edgessd.model.backbones.mobilenet_v2 import MobileNetV2
from edgessd.model.config import ModelConfig, feature_sizes
from edgessd.model.heads import ExtraBlock, PredictionHead
from edgessd.model.initialize import initialize_fresh


class SsdLite(nn.Module):
    """The network of an SSDLite detector, without preprocessing and decoding.

    forward: image (B, 3, H, W) float32, normalized by `contract.preprocess`, to

    - box_codes (B, N, 4): raw (tx, ty, tw, th) in the encoding `contract.box_code`;
    - class_scores (B, N, C): scores before the activation; column 0 is the background if there is one.

    The N anchors are in the order of `contract.anchors`.
    """

    def __init__(self, config: ModelConfig, contract: Contract) -> None:
        super().__init__()
        self.config = config
        self.contract = contract
        self.backbone_norm_frozen = False
        self.backbone = MobileNetV2(config)
        channels = list(self.backbone.out_channels)
        extras = []
        for extra in config.extras:
            extras.append(ExtraBlock(channels[-1], extra, config))
            channels.append(extra.channels)
        self.extras = nn.ModuleList(extras)
        self.heads = nn.ModuleList(
            PredictionHead(width, anchors, contract.columns, kind, config)
            for width, anchors, kind in zip(
                channels, contract.anchors.shapes_per_level, config.heads, strict=True
            )
        )

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.backbone(image)
        for extra in self.extras:
            features.append(extra(features[-1]))
        predictions = [head(feature) for head, feature in zip(self.heads, features, strict=True)]
        box_codes, class_scores = zip(*predictions, strict=True)
        return torch.cat(box_codes, dim=1), torch.cat(class_scores, dim=1)

    def train(self, mode: bool = True) -> SsdLite:
        """Set training mode; a frozen batch norm stays in evaluation mode."""
        super().train(mode)
        if self.backbone_norm_frozen:
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def freeze_backbone_norm(self) -> None:
        """Make the backbone's batch norm a fixed affine map, in training as well.

        It suits small datasets and small batches, whose statistics are worse than those that came
        with the weights. The affine parameters stop learning too.
        """
        self.backbone_norm_frozen = True
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)
        self.train(self.training)


def build_model(config: ModelConfig, contract: Contract) -> SsdLite:
    """Make a newly initialized network for a contract.

    Raises:
        ConfigError: The contract's anchors don't fit the network's feature maps.
    """
    check_anchors(config, contract)
    model = SsdLite(config, contract)
    initialize_fresh(model, contract.scoring)
    return model


def check_anchors(config: ModelConfig, contract: Contract) -> None:
    """Check that a contract's anchors have the grids of the network's feature maps.

    Raises:
        ConfigError: The grids differ.
    """
    expected = feature_sizes(config, contract.preprocess.width, contract.preprocess.height)
    found = tuple((level.rows, level.columns) for level in contract.anchors.levels)
    if expected != found:
        raise ConfigError(
            "The anchors don't fit the network's feature maps",
            expected=f"grids (rows, columns) {expected}",
            found=str(found),
            fix="Make both with edgessd.model.new_detector.new_detector",
        )


def parameter_count(model: nn.Module) -> int:
    """Number of learnable values."""
    return sum(parameter.numel() for parameter in model.parameters())
