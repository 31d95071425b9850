"""Express Relu and Clip as the fused activation of a TFLite operator."""

from __future__ import annotations

import math

from edgessd.lower.tflite.ir import INT8_MAX, INT8_MIN, QuantNode

_NAMES = {(0.0, math.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}
# LiteRT turns the bounds into int32 integers at the output's scale and fails where they overflow
# ("no_integer_overflow_from_quantization was not true"): outputs with a near-zero range.
_LARGEST_BOUND = 2**30


def fused_activation(node: QuantNode) -> str:
    """Name the node's clamp in TFLite's words.

    The int8 output saturates at the ends of its range, so a bound beyond them needs no name.

    Raises:
        LoweringError: TFLite has no name for the clamp, and saturation doesn't replace it.
    """
    if node.clamp is None:
        return "NONE"
    output = node.output
    low, high = node.clamp.low, node.clamp.high
    reach_low = (INT8_MIN - output.params.zero_point) * output.params.scale
    reach_high = (INT8_MAX - output.params.zero_point) * output.params.scale
    if high > reach_high and high / output.params.scale > _LARGEST_BOUND:
        high = math.inf
    name = _NAMES.get((low, high))
    if name is not None and (math.isinf(high) or high / output.params.scale <= _LARGEST_BOUND):
        return name
    # Half a step of slack: a bound that rounds to the last integer is that integer.
    slack = output.params.scale / 2
    if low <= reach_low + slack and high >= reach_high - slack:
        return "NONE"
    return node.refuse(
        f"TFLite can't fuse a clamp from {low:g} to {high:g}, and its output holds "
        f"{reach_low:g} to {reach_high:g}",
        expected="Relu, Relu6, a clamp from -1 to 1, or one that the output's range implies",
    )
