"""Fold batch norm into the convolutions of a module, before it is traced.

The exporter could do it too, but would lose the parameters' names, and it computes in float32.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from edgessd.model.layers import ConvUnit


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose `ConvUnit`s have a bias and no batch norm.

    With gamma, beta, mean, variance of the norm: weight' = weight * g and bias' = beta + (bias - mean)
    * g, where g = gamma / sqrt(variance + epsilon) (section 3.2 of arXiv:1712.05877), in float64.
    """
    folded = copy.deepcopy(module).eval()
    for unit in folded.modules():
        if isinstance(unit, ConvUnit) and isinstance(unit.norm, nn.BatchNorm2d):
            _fold(unit.conv, unit.norm)
            unit.norm = nn.Identity()
    return folded


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    with torch.no_grad():
        factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = conv.weight.double() * factor[:, None, None, None]
        bias = 0 if conv.bias is None else conv.bias.double()
        bias = norm.bias.double() + (bias - norm.running_mean.double()) * factor
        conv.weight = nn.Parameter(weight.to(conv.weight.dtype))
        conv.bias = nn.Parameter(bias.to(conv.weight.dtype))
