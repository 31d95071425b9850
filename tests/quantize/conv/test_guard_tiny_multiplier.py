"""Requantization multipliers stay within the range of integer kernels."""

from __future__ import annotations

import numpy as np

from edgessd.quantize.conv.guard_tiny_multiplier import SMALLEST_MULTIPLIER, guard_tiny_multiplier
from edgessd.quantize.qparams import (
    affine_params,
)


def test_tiny_multiplier_is_raised() -> None:
    source, target = affine_params(0.0, 1e-6), affine_params(-100.0, 100.0)
    weights = np.array([1e-8, 1.0], np.float32)
    guarded = guard_tiny_multiplier(weights, source, target)
    multipliers = source.scale * guarded.astype(np.float64) / target.scale
    assert multipliers.min() >= SMALLEST_MULTIPLIER * 0.999999
    assert guarded[1] == 1.0
