"""Keep requantization multipliers within what integer kernels can express.

A kernel multiplies its int32 sum by input scale x weight scale / output scale. XNNPACK accepts
multipliers from 2^-32 (`xnn_define_convolution_2d`); LiteRT's reference kernels shift by at most 31.
"""

from __future__ import annotations

import numpy as np

from edgessd.quantize.qparams import ActivationParams, WeightParams

SMALLEST_MULTIPLIER = 2.0**-31


def guard_tiny_multiplier(
    params: WeightParams, input_params: ActivationParams, output_params: ActivationParams
) -> WeightParams:
    """Widen the scale of channels whose products vanish in the output anyway."""
    floor = np.float32(SMALLEST_MULTIPLIER * output_params.scale / input_params.scale)
    return WeightParams(scales=np.maximum(params.scales, floor))
