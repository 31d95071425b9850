"""Initialize a thin network with a selection of a wide network's weights.

Weight selection (Xu et al., "Initializing Models with Larger Ones", ICLR 2024, arXiv:2311.18823) takes
evenly spaced elements of each dimension of a wide tensor. The positions depend only on the two sizes, so
each layer reads the channels that the layer before it keeps.
"""

from __future__ import annotations

import torch
from torch import Tensor


def can_select(wide: Tensor, shape: tuple[int, ...]) -> bool:
    """True if `shape` has as many dimensions as `wide` and none is larger."""
    return wide.ndim == len(shape) and all(
        size >= wanted for size, wanted in zip(wide.shape, shape, strict=True)
    )


def select_weights(wide: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Select evenly spaced elements of a wide tensor.

    A convolution's weights (out, in, height, width) are multiplied by wide inputs / thin inputs, so that
    the sum over the remaining inputs keeps its size.

    Args:
        wide: Tensor of the wide network.
        shape: Shape of the same tensor in the thin network; see `can_select`.
    """
    thin = wide
    for dimension, (size, wanted) in enumerate(zip(wide.shape, shape, strict=True)):
        if wanted != size:
            places = (torch.arange(wanted, dtype=torch.float64) * size / wanted).floor().long()
            thin = thin.index_select(dimension, places)
    if wide.ndim == 4:
        thin = thin * (wide.shape[1] / shape[1])
    return thin
