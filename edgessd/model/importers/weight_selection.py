"""Start a thin network from a wide one's weights.

Weight selection (Xu et al., "Initializing Models with Larger Ones", ICLR 2024, arXiv:2311.18823): of each
dimension of a wide tensor, evenly spaced elements are taken. Which ones depends on the two sizes alone, so
the channels that one layer keeps are those that the next one reads.
"""

from __future__ import annotations

import torch
from torch import Tensor


def can_select(wide: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether `shape` has as many dimensions as `wide` and none that is larger."""
    return wide.ndim == len(shape) and all(
        size >= wanted for size, wanted in zip(wide.shape, shape, strict=True)
    )


def select_weights(wide: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The evenly spaced elements of a wide tensor that make one of `shape`.

    A convolution's weights (out, in, height, width) grow by what its inputs shrink, so that the sum over
    the inputs that are left is about what it was.

    Args:
        wide: Of a layer in the wide network.
        shape: Of the same tensor in the thin one; see `can_select`.
    """
    thin = wide
    for dimension, (size, wanted) in enumerate(zip(wide.shape, shape, strict=True)):
        if wanted != size:
            places = (torch.arange(wanted, dtype=torch.float64) * size / wanted).floor().long()
            thin = thin.index_select(dimension, places)
    if wide.ndim == 4:
        thin = thin * (wide.shape[1] / shape[1])
    return thin
