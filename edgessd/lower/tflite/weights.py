"""Read weights and bias of a convolution, and refuse those that an int8 kernel can't compute with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.lower.tflite.ir import INT8_MAX, INT8_MIN, Activation, Constant, QuantNode

# Limits on input scale * weight scale / output scale. From 256 on, LiteRT fails to prepare the model
# ("failed to create XNNPACK runtime"); below 2**-32 the reference kernels' multiplier becomes 0.
MIN_MULTIPLIER, MAX_MULTIPLIER = 2.0**-32, 256.0
# Scales go through float32 products in either order; this is a few of their roundings.
_SCALE_TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvConstants:
    """Weights and bias of a convolution as integers.

    Attributes:
        values: Weights, int8 (out, in / groups, height, width), in ONNX's order.
        scales: Scales of the weights, (out,) float32.
        bias: Bias, (out,) int32.
        bias_scales: Scales of the bias, input scale * weight scale, (out,) float32.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32]
    bias_scales: NDArray[np.float32]


def read_conv_constants(node: QuantNode) -> ConvConstants:
    """Read inputs 1 (weights) and 2 (bias, optional) of a Conv node.

    Raises:
        LoweringError: They aren't int8 and int32 with zero point 0 and matching scales, an
            accumulator could overflow, or a scale is outside the kernels' limits.
    """
    image = node.image()
    weights = _quantized(node, 1, np.int8, "weights")
    values: NDArray[np.int8] = weights.values
    channels = len(values)
    if weights.scale is None or (weights.scale.size > 1 and weights.axis % values.ndim != 0):
        node.refuse(f"its weights are quantized along axis {weights.axis}", expected="axis 0")
    if values.min(initial=0) < -INT8_MAX:
        node.refuse("its weights hold -128", expected="-127 to 127 (narrow range)")
    scales = _per_channel(weights.scale, channels)
    bias_scales = (np.float32(image.params.scale) * scales).astype(np.float32)
    constants = ConvConstants(
        values=values,
        scales=scales,
        bias=_bias(node, bias_scales),
        bias_scales=bias_scales,
    )
    _check_accumulators(node, image, constants)
    _check_multipliers(node, bias_scales)
    return constants


def _quantized(node: QuantNode, position: int, dtype: Any, what: str) -> Constant:
    constant = node.constant(position)
    if constant is None or constant.scale is None or constant.values.dtype != dtype:
        found = "left out" if constant is None else f"plain {constant.values.dtype}"
        if constant is not None and constant.scale is not None:
            found = f"quantized {constant.values.dtype}"
        node.refuse(
            f"its {what} are {found}",
            expected=f"{np.dtype(dtype)} with a DequantizeLinear",
            fix="Quantize the graph with scheme 'affine'; 'symmetric' is TensorRT's",
        )
    if np.any(constant.zero_point):
        node.refuse(f"the zero point of its {what} isn't 0")
    return constant


def _per_channel(scale: NDArray[np.float32] | None, channels: int) -> NDArray[np.float32]:
    return np.full(channels, np.asarray(scale, np.float32).reshape(-1), np.float32)


def _bias(node: QuantNode, scales: NDArray[np.float32]) -> NDArray[np.int32]:
    if node.constant(2) is None:
        return np.zeros(len(scales), np.int32)
    bias = _quantized(node, 2, np.int32, "bias values")
    given = _per_channel(bias.scale, len(scales))
    if not np.allclose(given, scales, rtol=_SCALE_TOLERANCE, atol=0):
        worst = int(np.argmax(np.abs(given / scales - 1)))
        node.refuse(
            f"the bias of channel {worst} has scale {given[worst]:g}",
            expected=f"input scale * weight scale = {scales[worst]:g}",
        )
    values: NDArray[np.int32] = bias.values
    return values


def _check_accumulators(node: QuantNode, image: Activation, constants: ConvConstants) -> None:
    """Refuse weights with which some input would overflow a kernel's int32 accumulator."""
    farthest = max(image.params.zero_point - INT8_MIN, INT8_MAX - image.params.zero_point)
    taps = np.abs(constants.values.astype(np.int64)).reshape(len(constants.values), -1).sum(axis=1)
    reach = np.abs(constants.bias.astype(np.int64)) + taps * farthest
    worst = int(np.argmax(reach))
    if reach[worst] > np.iinfo(np.int32).max:
        node.refuse(
            f"the accumulator of channel {worst} can reach {reach[worst]}, beyond int32: its bias is "
            f"{constants.bias[worst]} at scale {constants.bias_scales[worst]:g}",
            expected=f"at most {np.iinfo(np.int32).max}",
            fix="Raise the channel's weight scale; weights with a near-zero range need a floor",
        )


def _check_multipliers(node: QuantNode, bias_scales: NDArray[np.float32]) -> None:
    multipliers = bias_scales.astype(np.float64) / node.output.params.scale
    for channel in (int(np.argmin(multipliers)), int(np.argmax(multipliers))):
        if not MIN_MULTIPLIER <= multipliers[channel] < MAX_MULTIPLIER:
            node.refuse(
                f"input scale * weight scale / output scale of channel {channel} is "
                f"{multipliers[channel]:g}",
                expected=f"{MIN_MULTIPLIER:g} to {MAX_MULTIPLIER:g}, the limits of LiteRT's kernels",
                fix="Look for a range of almost zero in the calibration of this layer",
            )
