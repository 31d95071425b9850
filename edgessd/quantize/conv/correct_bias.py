"""Add the mean error of rounded weights to the bias.

Rounding shifts a layer's mean output by the weights' error times the mean input. Noise averages out from
layer to layer; a shift of a whole channel adds up. The mean input is measured on calibration images ("bias
correction", section 4.2 of arXiv:1906.04721, in its empirical form of appendix D). Unlike there, inputs are
measured and not outputs, so each layer is corrected for its own error and not for those of layers before it.
"""

from __future__ import annotations

import numpy as np

from edgessd.calibrate.moments import InputMoments
from edgessd.core.arrays import FloatArray
from edgessd.quantize.qparams import Int8Array, dequantize_weight


def correct_bias(
    bias: FloatArray,
    weight: FloatArray,
    integers: Int8Array,
    scales: FloatArray,
    moments: InputMoments,
) -> FloatArray:
    """Return the bias (out_channels,) that restores the mean output of the real weights.

    Args:
        bias: float32 (out_channels,).
        weight: Real weight (out_channels, in_channels / groups, kh, kw).
        integers: Quantized weight.
        scales: Scales (out_channels,) of the integers.
        moments: Moments of the layer's inputs.
    """
    groups, size = moments.mean.shape
    error = weight.astype(np.float64) - dequantize_weight(integers, scales)
    lost = np.einsum("grk,gk->gr", error.reshape(groups, -1, size), moments.mean.astype(np.float64))
    corrected: FloatArray = (bias + lost.reshape(-1)).astype(np.float32)
    return corrected
