"""Make a first convolution see images in another normalisation than it was trained with."""

from __future__ import annotations

import torch
from torch import Tensor

from edgessd.core.contract import Preprocess


def adapt_first_conv(
    weight: Tensor, *, trained: Preprocess, wanted: Preprocess
) -> tuple[Tensor, Tensor]:
    """Rewrite a convolution trained on one normalisation for another.

    With x the wanted input of a pixel, the trained input is x * s + o per channel, where
    s = wanted.std / trained.std and o = (wanted.mean - trained.mean) / trained.std.

    Exact but for the border: padding zeros stand for the mean colour, which is another one.

    Args:
        weight: (out, 3, k, k).
        trained: Normalisation that the weights were made with.
        wanted: Normalisation of the images to come.

    Returns:
        The new weight (out, 3, k, k), and (out,) to add to the convolution's output.
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
    """Weight, scale and offset in the wanted channel order."""
    mean = torch.tensor(trained.mean).double().flip(0)
    std = torch.tensor(trained.std).double().flip(0)
    scale = torch.tensor(wanted.std).double() / std
    return weight.flip(1), scale, (torch.tensor(wanted.mean).double() - mean) / std
