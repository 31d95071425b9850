"""Scales and zero points of ranges, and arrays quantized with them: the vocabulary of quantization.

`core.tensors.QuantParams` is the one type of a scale and zero point. It belongs to one tensor. Weights have
zero point 0 and a scale for each output channel, so an array of scales stands for theirs.

real = scale * (integer - zero_point), as in
https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec and ONNX
QuantizeLinear. Activations are int8 in [-128, 127], one scale a tensor; weights are int8 in [-127, 127]
(narrow range), zero point 0, one scale per output channel. Real 0 is always an integer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray
from edgessd.core.errors import GraphError
from edgessd.core.tensors import QuantParams

INT8_MIN, INT8_MAX = -128, 127
WEIGHT_MAX = 127

SMALLEST_RANGE = 1e-6
"""Width of the range of a tensor that is always 0. For a ReLU6, LiteRT computes 6 / scale as an int32, which
overflows at a scale below 3e-9; this keeps the scale above 3.9e-9."""

FLOAT16_MAX = float(np.finfo(np.float16).max)

Int8Array = NDArray[np.int8]


def affine_params(low: float, high: float) -> QuantParams:
    """Return 255 steps from low to high, after widening the range to hold 0.

    scale = (high - low) / 255, zero_point = round(-128 - low / scale).
    """
    low, high = _with_zero(low, high)
    scale = float(np.float32((high - low) / (INT8_MAX - INT8_MIN)))
    zero_point = int(np.rint(INT8_MIN - low / scale))
    return QuantParams(scale=scale, zero_point=min(max(zero_point, INT8_MIN), INT8_MAX))


def symmetric_params(low: float, high: float) -> QuantParams:
    """Return 127 steps from 0 to the larger of -low and high: zero point 0, scale a float16 number."""
    low, high = _with_zero(low, high)
    (scale,) = float16_scales(np.array([max(-low, high) / INT8_MAX]))
    return QuantParams(scale=float(scale), zero_point=0)


def weight_scales(limits: FloatArray, *, float16: bool = False) -> FloatArray:
    """Return the scales (out_channels,) of 127 steps from 0 to each channel's limit.

    Args:
        limits: float32 (out_channels,), the largest |weight| to represent.
        float16: Round the scales as `float16_scales` does.

    Raises:
        GraphError: A limit isn't a finite number.
    """
    scales = np.maximum(limits.astype(np.float64), SMALLEST_RANGE) / WEIGHT_MAX
    if not np.isfinite(scales).all():
        raise GraphError("A weight isn't finite", fix="The checkpoint is damaged; use another one.")
    return float16_scales(scales) if float16 else scales.astype(np.float32)


def float16_scales(scales: NDArray[np.float64]) -> FloatArray:
    """Round scales (n,) to float16 numbers, held in float32.

    A strongly typed TensorRT network stores scales as float16. Rounding a scale after the integers were made
    moves all values by up to 1 part in 2,048. Below 6e-5, where float16 has fewer bits, it moves them by far
    more: those of a scale of 1e-7 by a fifth. So scales are rounded first, and every form of the graph holds
    the same numbers.

    The nearest number is used: rounding down by 1 part in 2,048 clips nothing, because 127.06 is still
    integer 127. Below 6e-5 the steps are coarse, and the next number above is used.

    Raises:
        GraphError: A scale is beyond float16, so values reach 8 million.
    """
    if not (scales <= FLOAT16_MAX).all():
        raise GraphError(
            "A scale doesn't fit float16, which TensorRT computes scales in",
            expected=f"at most {FLOAT16_MAX:g}",
            found=f"{scales.max():g}",
            fix="Look for a layer that training left unbounded, or train with batch norm.",
        )
    nearest = scales.astype(np.float16)
    coarse = (nearest < np.finfo(np.float16).smallest_normal) & (nearest < scales)
    above = np.nextafter(nearest, np.float16(np.inf))
    return np.where(coarse, above, nearest).astype(np.float32)


def float16_bias(bias: FloatArray) -> FloatArray:
    """Round a bias (out_channels,) to float16 numbers, held in float32.

    The reason is that of `float16_scales`: the same number in every form of the graph.

    Raises:
        GraphError: A value is beyond float16.
    """
    if not (np.abs(bias) <= FLOAT16_MAX).all():
        raise GraphError(
            "A bias doesn't fit float16, which TensorRT adds it in",
            expected=f"at most {FLOAT16_MAX:g}",
            found=f"{np.abs(bias).max():g}",
            fix="Look for a layer that training left unbounded, or train with batch norm.",
        )
    return bias.astype(np.float16).astype(np.float32)


def quantize_activation(values: FloatArray, params: QuantParams) -> Int8Array:
    """Quantize an array of any shape as ONNX QuantizeLinear does: round ties to even, then saturate."""
    integers = np.rint(values / np.float32(params.scale)) + params.zero_point
    saturated: Int8Array = np.clip(integers, INT8_MIN, INT8_MAX).astype(np.int8)
    return saturated


def dequantize_activation(integers: Int8Array, params: QuantParams) -> FloatArray:
    """Return the real values of a tensor's integers, float32."""
    real: FloatArray = integers.astype(np.float32) - np.float32(params.zero_point)
    real *= np.float32(params.scale)
    return real


def quantize_weight(weight: FloatArray, scales: FloatArray) -> Int8Array:
    """Quantize a weight (out_channels, ...) to integers in [-127, 127]."""
    integers = np.rint(weight / per_channel(scales, weight.ndim))
    saturated: Int8Array = np.clip(integers, -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
    return saturated


def dequantize_weight(integers: Int8Array, scales: FloatArray) -> FloatArray:
    """Return the real values of a quantized weight (out_channels, ...)."""
    return integers.astype(np.float32) * per_channel(scales, integers.ndim)


def bias_scales(input_params: QuantParams, scales: FloatArray) -> FloatArray:
    """Return the scales (out_channels,) of an int32 bias: input scale times weight scale, in float32."""
    product: FloatArray = np.float32(input_params.scale) * scales
    return product


def quantize_bias(bias: FloatArray, scales: FloatArray) -> NDArray[np.int32]:
    """Quantize a bias (out_channels,) to int32.

    Raises:
        GraphError: A value doesn't fit; `guard_bias_overflow` prevents that.
    """
    integers = np.rint(bias.astype(np.float64) / scales)
    if (np.abs(integers) > np.iinfo(np.int32).max).any():
        raise GraphError("A bias overflows int32 at its scale", found=f"{np.abs(integers).max():g}")
    return integers.astype(np.int32)


def per_channel(scales: FloatArray, dimensions: int) -> FloatArray:
    """Reshape scales (out_channels,) to (out_channels, 1, 1, ...) with that many dimensions."""
    return scales.reshape(-1, *[1] * (dimensions - 1))


def _with_zero(low: float, high: float) -> tuple[float, float]:
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise GraphError("A range isn't usable", expected="low <= high", found=f"{low} to {high}")
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high - low >= SMALLEST_RANGE else (low, low + SMALLEST_RANGE)
