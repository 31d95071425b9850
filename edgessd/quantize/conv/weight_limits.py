"""Limits of weights: the largest magnitude that each output channel can represent."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgessd.core.arrays import FloatArray
from edgessd.quantize.qparams import dequantize_weight, quantize_weight, weight_scales

_SHRINKS = np.linspace(1.0, 0.6, 21)


def weight_limits(weight: FloatArray, method: Literal["minmax", "mse"]) -> FloatArray:
    """Return the limits (out_channels,) of a weight (out_channels, ...)."""
    widest: FloatArray = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    if method == "minmax":
        return widest
    best, smallest = widest, np.full(len(weight), np.inf)
    for shrink in _SHRINKS:
        limits = (widest * shrink).astype(np.float32)
        scales = weight_scales(limits)
        error = dequantize_weight(quantize_weight(weight, scales), scales) - weight
        squares = np.square(error.reshape(len(weight), -1)).sum(axis=1)
        better = squares < smallest
        best, smallest = np.where(better, limits, best), np.where(better, squares, smallest)
    return best
