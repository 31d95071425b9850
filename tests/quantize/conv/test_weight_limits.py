"""Limits of weights clip a channel only if that lowers its squared error."""

from __future__ import annotations

import numpy as np

from edgessd.quantize.conv.weight_limits import weight_limits
from edgessd.quantize.qparams import (
    dequantize_weight,
    quantize_weight,
    weight_scales,
)


def test_mse_clips_a_lonely_weight() -> None:
    random = np.random.default_rng(0)
    weight = random.normal(0, 0.1, (1, 1024, 3, 3)).astype(np.float32)
    weight[0, 0, 0, 0] = 0.6
    clipped, widest = weight_limits(weight, "mse"), weight_limits(weight, "minmax")
    assert clipped[0] < widest[0]

    def error(limits: np.ndarray) -> float:
        params = weight_scales(limits)
        restored = dequantize_weight(quantize_weight(weight, params), params)
        return float(np.square(restored - weight).sum())

    assert error(clipped) < error(widest)
