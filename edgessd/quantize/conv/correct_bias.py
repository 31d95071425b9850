"""Give to the bias what rounded weights take from the mean.

Rounding moves a layer's mean output by the weights' error times the mean input, and a shift of a whole
channel adds up from layer to layer, where noise averages out. The mean input is measured on calibration
images ("bias correction", section 4.2 of arXiv:1906.04721, in its empirical form of appendix D, but from
inputs instead of outputs: so every layer is put right for itself, and none for the errors of another).
"""

from __future__ import annotations

import numpy as np

from edgessd.calibrate.moments import InputMoments
from edgessd.quantize.qparams import FloatArray, Int8Array, dequantize_weight


def correct_bias(
    bias: FloatArray,
    weight: FloatArray,
    integers: Int8Array,
    scales: FloatArray,
    moments: InputMoments,
) -> FloatArray:
    """The bias (out_channels,) with which the mean output is what the real weights make.

    Args:
        bias: float32 (out_channels,).
        weight: Real, (out_channels, in_channels / groups, kh, kw).
        integers: What stands for it.
        scales: (out_channels,) of the integers.
        moments: Of the inputs.
    """
    groups, size = moments.mean.shape
    error = weight.astype(np.float64) - dequantize_weight(integers, scales)
    lost = np.einsum("grk,gk->gr", error.reshape(groups, -1, size), moments.mean.astype(np.float64))
    corrected: FloatArray = (bias + lost.reshape(-1)).astype(np.float32)
    return corrected
