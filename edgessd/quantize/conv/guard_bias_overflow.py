"""Keep int32 biases from overflowing.

A bias is stored at input scale x weight scale. A channel whose weights have shrunk to nothing has a
weight scale near 0, and its bias divided by it leaves int32: LiteRT then refuses the model or wraps. In
the symmetric scheme a graph's biases are float, but onnxruntime makes int32 of them by itself, and then
silently answers 0 for such a channel.
"""

from __future__ import annotations

import numpy as np

from edgessd.core.tensors import QuantParams
from edgessd.quantize.qparams import FloatArray, float16_scales

LARGEST_BIAS = 2**30
"""Half of int32, which leaves the other half to the sum of products: at most 127 * 255 * 11,520 = 2^29
for a 3x3 convolution over 1,280 channels."""


def guard_bias_overflow(
    scales: FloatArray, bias: FloatArray, input_params: QuantParams, *, float16: bool = False
) -> FloatArray:
    """Widen the scale of just those channels whose bias would exceed `LARGEST_BIAS`, by just enough.

    Such a channel's weights lose resolution, but they are vanishingly small beside its bias. With `float16`
    the scales are rounded as `float16_scales` does.
    """
    needed = np.abs(bias.astype(np.float64)) / (input_params.scale * LARGEST_BIAS)
    # One float32 step up, so that rounding the scale doesn't bring the bias back over the limit.
    floor = np.nextafter(needed.astype(np.float32), np.float32(np.inf), dtype=np.float32)
    widened: FloatArray = np.where(needed > scales, floor, scales)
    return float16_scales(widened.astype(np.float64)) if float16 else widened
