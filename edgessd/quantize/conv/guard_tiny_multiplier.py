"""Keep requantization multipliers within the range of integer kernels.

A kernel multiplies its int32 sum by input scale x weight scale / output scale. XNNPACK accepts
multipliers from 2^-32 (`xnn_define_convolution_2d`); LiteRT's reference kernels shift by at most 31.
"""

from __future__ import annotations

import numpy as np

from edgessd.core.arrays import FloatArray
from edgessd.core.tensors import QuantParams

SMALLEST_MULTIPLIER = 2.0**-31


def guard_tiny_multiplier(
    scales: FloatArray, input_params: QuantParams, output_params: QuantParams
) -> FloatArray:
    """Widen the scales (out_channels,) of channels whose products round to 0 in the output."""
    floor = np.float32(SMALLEST_MULTIPLIER * output_params.scale / input_params.scale)
    widened: FloatArray = np.maximum(scales, floor)
    return widened
