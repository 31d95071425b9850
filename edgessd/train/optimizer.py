"""The optimizer and its parameter groups."""

from __future__ import annotations

import torch
from torch import nn

from edgessd.model.ssdlite import SsdLite
from edgessd.train.config import OptimizeSettings


def make_optimizer(
    model: nn.Module, settings: OptimizeSettings, *, backbone_lr: float
) -> torch.optim.Optimizer:
    """Make the optimizer.

    Weight decay applies to weights with more than one dimension, so not to biases and batch
    normalization.

    Args:
        model: Model whose parameters are learned.
        settings: Optimizer, learning rate and decay.
        backbone_lr: Factor on the backbone's learning rate.
    """
    groups = []
    backbone = list(model.backbone.parameters()) if isinstance(model, SsdLite) else []
    in_backbone = {id(parameter) for parameter in backbone}
    rest = [value for value in model.parameters() if id(value) not in in_backbone]
    for scale, members in ((1.0, rest), (backbone_lr, backbone)):
        learned = [value for value in members if value.requires_grad]
        for decay, several in ((settings.weight_decay, True), (0.0, False)):
            chosen = [value for value in learned if (value.ndim > 1) == several]
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "scale": scale})
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=settings.lr)


def set_rates(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set each parameter group's learning rate to `lr` times the group's scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]
