"""Keep int32 biases from overflowing.

A bias is stored at input scale x weight scale. A channel with vanishing weights has a weight scale near 0,
and its bias divided by that exceeds int32: LiteRT then refuses the model or wraps. In the symmetric scheme
biases are float, but onnxruntime converts them to int32 by itself, and silently computes 0 for such a
channel.
"""

from __future__ import annotations

import numpy as np

from edgessd.core.arrays import FloatArray
from edgessd.core.tensors import QuantParams
from edgessd.quantize.qparams import float16_scales

LARGEST_BIAS = 2**30
"""Half of the range of int32. The sum of products needs less than the other half: at most
127 * 255 * 11,520 = 2^29 for a 3x3 convolution over 1,280 channels."""


def guard_bias_overflow(
    scales: FloatArray, bias: FloatArray, input_params: QuantParams, *, float16: bool = False
) -> FloatArray:
    """Widen the scales of the channels whose bias would exceed `LARGEST_BIAS`, by as little as possible.

    Such a channel's weights lose resolution, but they are tiny beside its bias.

    Args:
        scales: Scales (out_channels,) of the weight.
        bias: float32 (out_channels,).
        input_params: Parameters of the convolution's input.
        float16: Round the scales as `float16_scales` does.
    """
    needed = np.abs(bias.astype(np.float64)) / (input_params.scale * LARGEST_BIAS)
    # One float32 step up, so that rounding the scale doesn't put the bias over the limit again.
    floor = np.nextafter(needed.astype(np.float32), np.float32(np.inf), dtype=np.float32)
    widened: FloatArray = np.where(needed > scales, floor, scales)
    return float16_scales(widened.astype(np.float64)) if float16 else widened
