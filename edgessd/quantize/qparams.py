"""Scales and zero points, and arrays quantized with them.

real = scale * (integer - zero_point), as in https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
and ONNX QuantizeLinear. Activations are int8 in [-128, 127], one scale a tensor; weights are int8 in
[-127, 127] (narrow range), zero point 0, one scale per output channel. Real 0 is always an integer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgessd.core.errors import GraphError

INT8_MIN, INT8_MAX = -128, 127
WEIGHT_MAX = 127

SMALLEST_RANGE = 1e-6
"""Width given to a tensor that is always 0. LiteRT computes 6 / scale as an int32 for ReLU6, so a scale
below 3e-9 overflows there; this keeps it above 3.9e-9."""

Int8Array = NDArray[np.int8]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationParams:
    """Scale and zero point of a whole tensor.

    Attributes:
        scale: Exactly representable in float32, > 0.
        zero_point: In [-128, 127]; 0 in the symmetric scheme.
    """

    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        if not self.scale > 0 or float(np.float32(self.scale)) != self.scale:
            raise GraphError(
                "A scale isn't usable", expected="a positive float32", found=repr(self.scale)
            )
        if not INT8_MIN <= self.zero_point <= INT8_MAX:
            raise GraphError(
                "A zero point is out of range", expected="-128 to 127", found=str(self.zero_point)
            )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WeightParams:
    """Scales (out_channels,) float32 of a weight (out_channels, ...); the zero points are 0."""

    scales: FloatArray

    def __post_init__(self) -> None:
        if self.scales.dtype != np.float32 or self.scales.ndim != 1 or not (self.scales > 0).all():
            raise GraphError(
                "Weight scales aren't usable",
                expected="one positive float32 per output channel",
                found=f"{self.scales.dtype} {self.scales.shape}, minimum {self.scales.min():g}",
            )


def affine_params(low: float, high: float) -> ActivationParams:
    """255 steps from low to high, the range first widened to hold 0.

    scale = (high - low) / 255, zero_point = round(-128 - low / scale).
    """
    low, high = _with_zero(low, high)
    scale = float(np.float32((high - low) / (INT8_MAX - INT8_MIN)))
    zero_point = int(np.rint(INT8_MIN - low / scale))
    return ActivationParams(scale=scale, zero_point=min(max(zero_point, INT8_MIN), INT8_MAX))


def symmetric_params(low: float, high: float) -> ActivationParams:
    """127 steps from 0 to the larger of -low and high; zero_point 0."""
    low, high = _with_zero(low, high)
    return ActivationParams(scale=float(np.float32(max(-low, high) / INT8_MAX)), zero_point=0)


def weight_params(limits: FloatArray) -> WeightParams:
    """127 steps from 0 to each channel's limit (out_channels,), the largest |weight| to represent."""
    widest = np.maximum(limits.astype(np.float64), SMALLEST_RANGE)
    return WeightParams(scales=(widest / WEIGHT_MAX).astype(np.float32))


def quantize_activation(values: FloatArray, params: ActivationParams) -> Int8Array:
    """Integers of any shape, as ONNX QuantizeLinear makes them: ties to even, then saturate."""
    integers = np.rint(values / np.float32(params.scale)) + params.zero_point
    saturated: Int8Array = np.clip(integers, INT8_MIN, INT8_MAX).astype(np.int8)
    return saturated


def quantize_weight(weight: FloatArray, params: WeightParams) -> Int8Array:
    """Integers in [-127, 127] of a weight (out_channels, ...)."""
    integers = np.rint(weight / per_channel(params.scales, weight.ndim))
    saturated: Int8Array = np.clip(integers, -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
    return saturated


def dequantize_weight(integers: Int8Array, params: WeightParams) -> FloatArray:
    """Real values of a quantized weight (out_channels, ...)."""
    return integers.astype(np.float32) * per_channel(params.scales, integers.ndim)


def bias_scales(input_params: ActivationParams, params: WeightParams) -> FloatArray:
    """Scale of an int32 bias per channel: input scale times weight scale, in float32."""
    product: FloatArray = np.float32(input_params.scale) * params.scales
    return product


def quantize_bias(bias: FloatArray, scales: FloatArray) -> NDArray[np.int32]:
    """int32 bias (out_channels,).

    Raises:
        GraphError: A value doesn't fit; `guard_bias_overflow` prevents that.
    """
    integers = np.rint(bias.astype(np.float64) / scales)
    if (np.abs(integers) > np.iinfo(np.int32).max).any():
        raise GraphError("A bias overflows int32 at its scale", found=f"{np.abs(integers).max():g}")
    return integers.astype(np.int32)


def per_channel(scales: FloatArray, dimensions: int) -> FloatArray:
    """(out_channels,) → (out_channels, 1, 1, ...) of that many dimensions."""
    return scales.reshape(-1, *[1] * (dimensions - 1))


def _with_zero(low: float, high: float) -> tuple[float, float]:
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise GraphError("A range isn't usable", expected="low <= high", found=f"{low} to {high}")
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high - low >= SMALLEST_RANGE else (low, low + SMALLEST_RANGE)
