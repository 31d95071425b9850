"""Adapt a network's first convolution to another normalization of the images."""

from __future__ import annotations

import torch
from torch import Tensor

from edgessd.core.contract import Preprocess


def adapt_first_conv(
    weight: Tensor, *, trained: Preprocess, wanted: Preprocess
) -> tuple[Tensor, Tensor]:
    """Rewrite a convolution that was trained with one normalization for another.

    If x is the input of a pixel in the wanted normalization, its input in the trained one is x * s + o
    per channel, where s = wanted.std / trained.std and o = (wanted.mean - trained.mean) / trained.std.

    The result is exact except at the border, because zeros of the padding stand for the mean color,
    which differs.

    Args:
        weight: (out, 3, k, k).
        trained: Normalization that the weights were trained with.
        wanted: Normalization of the new images.

    Returns:
        The new weight (out, 3, k, k), and an offset (out,) to add to the convolution's output.
    """
    adapted = weight.double()
    scale = torch.tensor(wanted.std).double() / torch.tensor(trained.std).double()
    offset = (
        torch.tensor(wanted.mean).double() - torch.tensor(trained.mean).double()
    ) / torch.tensor(trained.std).double()
    if trained.color != wanted.color:
        adapted, scale, offset = _swap_colors(adapted, trained, wanted)
    shift = (adapted * offset.view(1, 3, 1, 1)).sum(dim=(1, 2, 3))
    return (adapted * scale.view(1, 3, 1, 1)).float(), shift.float()


def _swap_colors(
    weight: Tensor, trained: Preprocess, wanted: Preprocess
) -> tuple[Tensor, Tensor, Tensor]:
    """Bring weight, scale and offset into the wanted channel order."""
    mean = torch.tensor(trained.mean).double().flip(0)
    std = torch.tensor(trained.std).double().flip(0)
    scale = torch.tensor(wanted.std).double() / std
    return weight.flip(1), scale, (torch.tensor(wanted.mean).double() - mean) / std
